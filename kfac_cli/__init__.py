"""kfac-run: Martens and Grosse's K-FAC (2015) as a command-line experiment runner."""
