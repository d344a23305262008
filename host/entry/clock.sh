# The clock by which waiting is measured: one that nobody sets.
#
# bash's SECONDS follows the host's own. That is set while somebody waits: a small computer without a
# battery comes up with the time at which it lost power, until the network tells it better.

UPTIME= # whole seconds since the host was started

# find_uptime: into UPTIME
find_uptime() {
  read -r UPTIME _ </proc/uptime
  UPTIME=${UPTIME%.*}
}
