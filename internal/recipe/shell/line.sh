# print_line prints $1 and a line end by a builtin of the shell, in no process of its own and without an argument that
# others could see or that could be too long.
case $(command -v printf) in
printf) print_line() { printf '%s\n' "$1"; } ;;
*) print_line() { print -r -- "$1"; } ;;
esac
