module benchx

go 1.21

require (
	bench v0.0.0
	golang.org/x/sync v0.7.0
)

replace bench => ../go
