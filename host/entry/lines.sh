# Lines: what the stack says on standard input, and what the files hold.

LINES=()

# read_lines: standard input into LINES, without empty lines and comments
read_lines() {
  local line
  LINES=()
  while read -r line || [[ -n $line ]]; do
    [[ -z $line || $line == '#'* ]] || LINES+=("$line")
  done
}

# split_lines TEXT: its lines into SPLIT, without empty ones. mapfile would read a pipe byte by byte, and of a
# long text on its standard input bash makes a file, for which a full disk has no room.
split_lines() {
  local - IFS=$'\n'
  set -f
  # shellcheck disable=SC2206 # words are what it is for
  SPLIT=($1)
}
