"""The network, and the hosts in it.

topology       which hosts there are, and how they are joined
sandbox        the namespaces that everything of a lab lives and dies in
switch         the cables between the hosts
identity       what makes a copy of the image one particular host
services/      the programs that run on hosts
host           a host: its file system, its life, and commands run on it
operator_host  the host that sees this machine's files and runs Pulumi
"""
