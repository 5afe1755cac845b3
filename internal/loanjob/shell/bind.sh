# Binding: what this program was issued for, whether this is that place, and whether what it was given can be meant.

say() { print_line "pitcrew: $1"; }

# sentinel prints a line that tells the daemon something. No other line of this program's output begins like it: what
# others print has a prefix.
sentinel() { print_line "pitcrew-loan ${proof:--} $1"; }

# refuse ends this program before it has changed anything on this machine.
refuse() {
	sentinel "refused $1"
	leave 78
}

# leave removes what this program keeps about the loan, and ends it with code $1.
leave() {
	[ -z "$state" ] || [ -n "$detached" ] || rm -rf "$state"
	exit "$1"
}

# begin makes this shell known ground, whatever it was started with.
begin() {
	set +x +v +e +u
	mask=$(umask)
	umask 077
	unset CDPATH ENV BASH_ENV POSIXLY_CORRECT
	PATH=${PATH:-/usr/bin:/bin}
	added=:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	PATH=${PATH%"$added"}$added
	export PATH
	proof='' state='' detached=''
	case $0 in /*) program=$0 ;; *) program=$PWD/$0 ;; esac
}

# All that this program is told, except the certificate, which has more than one line.
names='PITCREW_AGENT PITCREW_CONTROLLER PITCREW_ATTEMPT PITCREW_NONCE PITCREW_JOB_CONTROLLER NODE_NAME
PITCREW_LOAN PITCREW_LOAN_URL PITCREW_LOAN_NODE PITCREW_LOAN_DIR PITCREW_LOAN_USER PITCREW_LOAN_ISOLATION PITCREW_LOAN_JAR
PITCREW_LOAN_JAR_SHA256 PITCREW_LOAN_SECRET PITCREW_LOAN_LIMIT PITCREW_LOAN_ATTACH PITCREW_LOAN_KEY'

# read_parameters takes them from standard input, one NAME=VALUE a line, and none from the environment. The certificate
# comes last and goes on to the end.
read_parameters() {
	for r_name in $names PITCREW_LOAN_CERT; do unset "$r_name"; done
	r_names=" $(echo $names) "
	while IFS= read -r r_line || [ -n "$r_line" ]; do
		r_name=${r_line%%=*}
		if [ -n "${PITCREW_LOAN_CERT+x}" ]; then
			PITCREW_LOAN_CERT="$PITCREW_LOAN_CERT
$r_line"
		elif [ "$r_name" = PITCREW_LOAN_CERT ]; then
			PITCREW_LOAN_CERT=${r_line#*=}
		else
			case $r_names in
			*" $r_name "*) eval "$r_name=\${r_line#*=}" ;;
			*) refuse 'standard input has a line that is no parameter' ;;
			esac
		fi
	done
}

# bind is the first act: it touches nothing.
bind() {
	case ${PITCREW_NONCE-} in
	'' | *[!0-9A-Za-z_-]*) refuse 'PITCREW_NONCE is not a nonce' ;;
	esac
	[ ${#PITCREW_NONCE} -ge 16 ] || refuse 'PITCREW_NONCE is too short'
	find_sha256 || refuse 'no way to compute SHA-256 here: sha256sum, shasum, openssl or busybox is needed to prove the agent program'
	digested "$(printf %s "$PITCREW_NONCE" | $hasher)"
	proof=$sum
	[ -n "${PITCREW_AGENT-}" ] || refuse 'not issued for any agent'
	[ "$PITCREW_AGENT" = "${NODE_NAME-$1}" ] || refuse "issued for agent '$PITCREW_AGENT', but this is '${NODE_NAME-}'"
	[ -n "${PITCREW_CONTROLLER-}" ] || refuse 'not issued for any controller'
	[ "$PITCREW_CONTROLLER" = "${PITCREW_JOB_CONTROLLER:-$PITCREW_CONTROLLER}" ] ||
		refuse "issued for controller '$PITCREW_CONTROLLER', but this is '$PITCREW_JOB_CONTROLLER'"
	number "${PITCREW_ATTEMPT-}" || refuse 'PITCREW_ATTEMPT is not the number of an attempt'
	for b_value in "$PITCREW_AGENT" "$PITCREW_CONTROLLER"; do
		one_line "$b_value" || refuse 'the name of the agent or of the controller has a control character'
	done
	case ${PITCREW_LOAN-} in
	'' | *[!0-9A-Za-z_-]*) refuse 'PITCREW_LOAN is not the id of a loan' ;;
	esac
	[ ${#PITCREW_LOAN} -le 64 ] || refuse 'PITCREW_LOAN is too long'
}

# plain prints what another program has said, on one line.
plain() { printf '%s' "$1" | tr '\n' ' ' | tr -cd ' -~'; }

number() {
	case $1 in
	'' | 0* | *[!0-9]* | ???????????*) return 1 ;;
	esac
}
one_line() {
	case $1 in
	*[[:cntrl:]]*) return 1 ;;
	esac
}

# bind_account looks at what says whose the loan's processes are to be.
bind_account() {
	case ${PITCREW_LOAN_USER-} in
	'') ;;
	-* | *[!0-9A-Za-z._-]*) refuse 'PITCREW_LOAN_USER is not the name of an account' ;;
	esac
	case ${PITCREW_LOAN_ISOLATION-} in
	required | preferred | none) ;;
	*) refuse "PITCREW_LOAN_ISOLATION is '${PITCREW_LOAN_ISOLATION-}', neither required, preferred nor none" ;;
	esac
}

# bind_loan looks at everything that a loan consists of. An argument of Java's that begins with @ is the name of a file
# with more of them, so that none may.
bind_loan() {
	bind_account
	case ${PITCREW_LOAN_URL-} in
	*[!]0-9A-Za-z:/._~%[-]*) refuse 'PITCREW_LOAN_URL is not the address of a controller' ;;
	http://?* | https://?*) ;;
	*) refuse 'PITCREW_LOAN_URL is not the address of a controller' ;;
	esac
	case ${PITCREW_LOAN_NODE-} in
	'' | [@-]*) refuse 'PITCREW_LOAN_NODE is not the name of an agent' ;;
	esac
	one_line "$PITCREW_LOAN_NODE" || refuse 'PITCREW_LOAN_NODE has a control character'
	case ${PITCREW_LOAN_DIR-} in
	*[!0-9A-Za-z/._+-]* | *//* | */ | */.. | */../* | */. | */./*) refuse 'PITCREW_LOAN_DIR is not a plain path' ;;
	/?*) ;;
	*) refuse 'PITCREW_LOAN_DIR is not a plain path' ;;
	esac
	case ${PITCREW_LOAN_JAR_SHA256-} in
	*[!0-9a-f]*) refuse 'PITCREW_LOAN_JAR_SHA256 is not a SHA-256' ;;
	esac
	[ ${#PITCREW_LOAN_JAR_SHA256} -eq 64 ] || refuse 'PITCREW_LOAN_JAR_SHA256 is not a SHA-256'
	case ${PITCREW_LOAN_SECRET-} in
	'' | *[!0-9A-Za-z]*) refuse 'PITCREW_LOAN_SECRET is not the secret of an agent' ;;
	esac
	number "${PITCREW_LOAN_LIMIT-}" || refuse 'PITCREW_LOAN_LIMIT is not a number of seconds'
	number "${PITCREW_LOAN_ATTACH-}" || refuse 'PITCREW_LOAN_ATTACH is not a number of seconds'
	case ${PITCREW_LOAN_CERT-} in
	'' | '-----BEGIN CERTIFICATE-----'*) ;;
	*) refuse 'PITCREW_LOAN_CERT is not a certificate in PEM' ;;
	esac
	[ ${#PITCREW_LOAN_CERT} -le 32768 ] || refuse 'PITCREW_LOAN_CERT is too long'
}
