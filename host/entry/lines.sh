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
