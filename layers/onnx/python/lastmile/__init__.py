"""Lastmile: the library that every function shares. Lambda mounts this folder below /opt/python."""

__version__ = "0.1.0"
