"""What hosts start from, made once.

image         the Debian tree that all hosts start from
systems       what a host can start from instead: other releases, a VPS with neighbours
apt           what all of Debian's is downloaded by
wireguard_go  a current one for hosts whose kernel has none, of the version in wireguard/
tree          running the tree's programs on the machine
"""
