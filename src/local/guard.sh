# Runs a server, and ends all that came of it as soon as standard input ends: its owner holds the
# other end, and has no way to go without closing it.
# Arguments: a marker NAME=VALUE, the log, what to remove at the end or nothing, the command.
mark=$1 log=$2 remove=$3
shift 3

# Caught rather than ignored: what is ignored here would be ignored by the server, too.
trap : HUP INT TERM
(
    export "$mark"
    "$@" </dev/null >>"$log" 2>&1
    echo "$?"
) &
server=$!
PATH=$PATH:/usr/local/bin:/usr/bin:/bin

grace=20
while read -r word; do
    case $word in
        keep) remove= ;;
        kill) grace=0 ;;
    esac
done

# By the marker, because a terminal's process is in no group of ours.
marked() {
    for file in $(grep -lsF -- "$mark" /proc/[0-9]*/environ); do
        file=${file#/proc/}
        echo "${file%/environ}"
    done
}

remains() {
    if [ -d /proc/self ]; then
        [ -n "$(marked)" ]
    else
        kill -0 "$server"
    fi
}

if [ "$grace" -gt 0 ]; then
    kill -TERM 0
    kill -TERM $(marked)
fi
while [ "$grace" -gt 0 ] && remains; do
    sleep 0.1 || sleep 1
    grace=$((grace - 1))
done

# Again and again, for what was started meanwhile.
tries=100
while [ "$tries" -gt 0 ]; do
    found=$(marked)
    [ -n "$found" ] || break
    kill -KILL $found
    sleep 0.02 || sleep 1
    tries=$((tries - 1))
done
[ -z "$remove" ] || rm -rf -- "$remove"
# The last of the group, and this shell with it.
kill -KILL 0
