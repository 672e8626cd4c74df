module fileserver

go 1.19
