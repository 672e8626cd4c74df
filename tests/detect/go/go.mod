module detect

go 1.24
