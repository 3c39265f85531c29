# What a hostile command would try on the worker, its parent. $1 is `other` where it runs as another user than the worker, and
# `root` where both are root; $2 and $3 together are what every URL of the worker's holds.
worker=$PPID
secret=$2$3

breach() { echo "BREACH: $*"; }

# The worker's memory, by the files that need the right to trace it.
for file in auxv environ maps mem smaps; do
    ( : <"/proc/$worker/$file" ) 2>/dev/null && breach "$file can be read"
done
( : >>"/proc/$worker/mem" ) 2>/dev/null && breach "mem can be written"
for thread in "/proc/$worker/task"/*; do
    ( : <"$thread/environ" ) 2>/dev/null && breach "$thread/environ can be read"
done

# What the worker has open, and where it is.
for folder in fd cwd root; do
    # Root may see the descriptors' numbers, and nothing behind them.
    [ "$1$folder" = rootfd ] || ! ls "/proc/$worker/$folder/" >/dev/null 2>&1 || breach "$folder can be listed"
done
for number in 0 1 2 3 4 5 6 7 8 9 10 11 12; do
    ( : <"/proc/$worker/fd/$number" ) 2>/dev/null && breach "descriptor $number of the worker can be opened"
done
# Root may make it likelier that the worker is killed, as it may kill it.
[ "$1" = root ] || ! ( echo 0 >"/proc/$worker/oom_score_adj" ) 2>/dev/null || breach "the worker's OOM score can be set"

# The URLs of credentials, metadata and mailbox.
for file in /proc/[0-9]*/environ /proc/[0-9]*/cmdline; do
    { tr '\0' '\n' <"$file"; } 2>/dev/null | grep -q "$secret" && breach "$file tells the worker's URLs"
done
env | grep -E '^(AWS|ECS|MAYFLY)_' | grep -v '^MAYFLY_FILES=' && breach "the environment has variables of the worker's"
pwd | grep "$secret" && breach "the path tells the worker's URLs"

# What it has inherited, but for what the worker itself was started with. The shell's own view of the folder is gone
# when it is looked at.
for link in "/proc/$$/fd"/*; do
    case " 0 1 2 $4 " in *" ${link##*/} "*) ;; *) [ -e "$link" ] && breach "inherited $link" ;; esac
done
grep -Eq '^NoNewPrivs:[[:space:]]+1$' /proc/self/status || breach "set-user-ID programs give rights"

if [ "$1" = root ]; then
    grep -Eq '^CapPrm:[[:space:]]+0+4db$' /proc/self/status || breach "it has other capabilities: $(grep Cap /proc/self/status)"
fi

if [ "$1" = other ]; then
    [ "$(id -u)" = 10001 ] && [ "$(id -G)" = 10001 ] || breach "it is $(id)"
    grep -Eq '^CapPrm:[[:space:]]+0+$' /proc/self/status || breach "it has capabilities"
    kill -0 "$worker" 2>/dev/null && breach "the worker can be signalled"
    cat ../../kept 2>/dev/null && breach "a file of the worker's can be read"
    ls .. 2>/dev/null && breach "the folder above can be listed"
    for place in .. ../.. /; do
        ( : >"$place/planted" ) 2>/dev/null && breach "$place can be written"
    done
    [ "$HOME" = "$TMPDIR" ] || breach "its home is $HOME"
fi

# What it needs all the same.
echo "and more" >>deep/in.txt
cat deep/in.txt
mv deep deeper
echo "to stdout" >/dev/stdout
echo "to stderr" >/dev/stderr
: >"$TMPDIR/scratch" && echo "the attack is over"
