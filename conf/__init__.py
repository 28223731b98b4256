"""Hydra's configuration files, installed as the package kfac_cli.conf."""
