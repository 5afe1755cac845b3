usage() {
	cat <<'PITCREW_USAGE'
usage: sh program.sh [start | status | end | grant-ssh | revoke-ssh]
Without an argument it holds a loan in a build, with the parameters of its job. Otherwise the same parameters are read from
standard input, one NAME=VALUE a line, PITCREW_LOAN_CERT the last:
  start       begin a loan and return when the agent program is connected; PITCREW_LOAN_JAR is the path of agent.jar
  status      say whether the loan lives here
  end         end it, and prove it
  grant-ssh   let PITCREW_LOAN_KEY into the account PITCREW_LOAN_USER, for PITCREW_LOAN_LIMIT seconds
  revoke-ssh  take the key away, and end what the account has begun since
Exit status: 0 as was asked, and nothing is left; 3 the loan does not live here; 69 the agent program never connected;
70 something is left; 74 it could not be set up, and was undone; 78 refused, nothing was touched.
PITCREW_USAGE
}

main() {
	begin
	case ${1-build} in
	build)
		bind ''
		bind_loan
		workspace=${WORKSPACE-} jar=$PWD/PITCREW_LOAN_JAR
		become exec
		;;
	hold) hold ;;
	start | status | end | grant-ssh | revoke-ssh)
		read_parameters
		bind "${PITCREW_AGENT-}"
		case $1 in
		grant-ssh) grant_ssh ;;
		revoke-ssh) revoke_ssh ;;
		*) "$1" ;;
		esac
		;;
	*)
		usage
		exit 78
		;;
	esac
}
