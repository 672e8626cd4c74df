module aglet/http_corpus

go 1.22
