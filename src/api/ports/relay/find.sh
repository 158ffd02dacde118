for program in perl python3 node; do
    command -v "$program" >/dev/null 2>&1 || continue
    case $program in
    perl) exec perl -e "$SANDBOX_RELAY_PERL" "$@" ;;
    python3) exec python3 -I -S -c "$SANDBOX_RELAY_PYTHON" "$@" ;;
    node) exec node -e "$SANDBOX_RELAY_NODE" -- "$@" ;;
    esac
done
printf 'x\000\000\000\007missing'
