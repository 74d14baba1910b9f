"""Servers, clients and drivers that the tests run against Packetboat from outside."""
