# Read by every script that the suite runs in the guest. What the host knows comes in the environment:
#   address, port   where the target listens, as seen from here
#   limit           seconds after which the guest is killed
#   out             folder for what the host looks at after the check
# Scripts run as checks, each in a subshell of its own under `set -euo pipefail`.
set -uo pipefail

export LC_ALL=C.UTF-8

complain() { echo "$*" >&2; return 1; }

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fails when the time is up.
wait_for() {
  local seconds=$1 end=$((SECONDS + $1 + 1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || complain "not within $seconds s: $*" || return
    sleep 0.1
  done
}

# host NAME [ARGUMENT]: has the test on the host run its handler NAME, waits for it and prints its answer.
host() {
  local call=/job/call.$check.$BASHPID.$RANDOM status
  printf '%s\n%s\n' "$1" "${2-}" >"$call.new"
  mv "$call.new" "$call"
  while [ ! -e "$call.answer" ]; do sleep 0.05; done
  { read -r status; cat; } <"$call.answer"
  return "$status"
}

# block_device NQN [NSID]: prints the device of a namespace; fails when there is none (yet).
block_device() {
  local d
  for d in /sys/block/nvme*; do
    [[ ${d##*/} =~ ^nvme[0-9]+n[0-9]+$ ]] || continue
    # what goes away meanwhile is not the one
    [ "$(cat "$d/nsid" 2>/dev/null)" = "${2:-1}" ] || continue
    [ "$(cat "$d/device/subsysnqn" 2>/dev/null)" = "$1" ] || continue
    # a plain file of this name would swallow whatever is written to it
    [ -b "/dev/${d##*/}" ] || continue
    echo "/dev/${d##*/}"
    return
  done
  complain "no namespace ${2:-1} of $1 here"
}
has_block_device() { block_device "$@" >/dev/null 2>&1; }
lacks_block_device() { ! has_block_device "$@"; }

# generic_device NQN NSID: prints the character device of a namespace, also of one that is no disk; waits for it.
generic_device() {
  wait_for 10 find_generic "$@" >&2 || return
  find_generic "$@"
}
find_generic() {
  local d
  for d in /sys/block/nvme*; do
    [[ ${d##*/} =~ ^nvme[0-9]+n[0-9]+$ ]] || continue
    [ "$(cat "$d/nsid" 2>/dev/null)" = "$2" ] || continue
    [ "$(cat "$d/device/subsysnqn" 2>/dev/null)" = "$1" ] || continue
    d=/dev/ng${d##*/nvme}
    [ -c "$d" ] || continue
    echo "$d"
    return
  done
  return 1
}

# controller NQN: prints the sysfs folder of the (first) controller of a subsystem.
controller() {
  local c
  for c in /sys/class/nvme/nvme*; do
    [ "$(cat "$c/subsysnqn" 2>/dev/null)" = "$1" ] || continue
    echo "$c"
    return
  done
  complain "no controller of $1 here"
}
lacks_controller() { ! controller "$1" >/dev/null 2>&1; }
controller_is() { [ "$(cat "$(controller "$1")/state")" = "$2" ]; }
is_live() { controller_is "$1" live 2>/dev/null; }
is_not_live() { ! is_live "$1"; }

# attach NQN [option of nvme connect...]: connects, and waits for namespace 1.
attach() {
  local nqn=$1
  shift
  nvme connect -t tcp -a "$address" -s "$port" -n "$nqn" "$@"
  wait_for 10 is_live "$nqn"
  wait_for 10 has_block_device "$nqn"
}
# nvme-cli is content with nothing to disconnect; we are not.
detach() {
  local said
  said=$(nvme disconnect -n "$1")
  [[ $said == *'disconnected 1 controller'* ]] || complain "$said" || return
  wait_for 5 lacks_controller "$1"
}

# bytes DEVICE, a whole number.
bytes() { blockdev --getsize64 "$1"; }

# fio_to NAME DEVICE-OR-FILE option...: fio whose report the host finds in $out/NAME.json.
# Linux' host sends commands without MSG_NOSIGNAL from whoever submits them: the signal of a connection that is
# gone kills that process, unless it ignores it. The command itself is only requeued.
fio_to() {
  local name=$1 on=$2
  shift 2
  env --ignore-signal=PIPE fio --name="$name" --filename="$on" --ioengine=libaio --direct=1 --randrepeat=1 --verify_fatal=1 \
    --output-format=json --output="$out/$name.json" "$@" || {
    grep '^[^ {}]' "$out/$name.json"   # what it said, without the report
    return 1
  }
}

# kernel_said TEXT [SINCE]: whether the kernel log has TEXT, in lines after the SINCEth.
kernel_said() { dmesg | tail -n "+$((${2:-0} + 1))" | grep -F -- "$1" >/dev/null; }
kernel_lines() { dmesg | wc -l; }

forget_cached() { sync; echo 3 >/proc/sys/vm/drop_caches; }

# same_tree TREE...: that each TREE is in the current folder as it is in the root, from the disk.
same_tree() {
  local tree
  for tree; do
    [ "$(find "$PWD$tree" -type f | wc -l)" -gt 100 ] || complain "hardly a file in $PWD$tree" || return
    diff -r --no-dereference "$tree" "$PWD$tree" || return
  done
}
copy_tree() { tar -C / -c "${@#/}" | tar -x; }

nvme_devices() {
  (
    shopt -s nullglob
    echo /sys/class/nvme/* /sys/class/nvme-subsystem/* /sys/block/nvme* /dev/nvme[0-9]* /dev/ng[0-9]*
  )
}
no_nvme_device() { [ -z "$(nvme_devices)" ]; }

# leave: away from all subsystems; fails when something stays. Every guest ends with it, and checks that do not
# want what an earlier one may have left when it failed begin with it.
leave() {
  local at
  while read -r at; do umount "$at"; done < <(awk '$1 ~ "^/dev/nvme" { print $2 }' /proc/mounts)
  nvme disconnect-all
  wait_for 5 no_nvme_device || complain "left: $(nvme_devices)"
}

run_check() {
  check=$1
  out=/job/out.$check
  mkdir -p "$out"   # a guest that was rebooted works through its scripts once more
  (
    set -eE
    trap 'echo "failed with $?: line $LINENO: $BASH_COMMAND" >&2' ERR
    . "/job/check.$check.sh"
  ) >"/job/check.$check.out" 2>&1
  echo $? >"/job/check.$check.rc.new"
  mv "/job/check.$check.rc.new" "/job/check.$check.rc"
}

# What the kernel says is wanted all the more when the guest never gets to its end.
dmesg --follow >/job/dmesg.live 2>/dev/null &
(
  sleep $((limit - 20))
  echo w >/proc/sysrq-trigger   # who is blocked where
) &
