/** The first program of the guest, a shell script in the initramfs. @module */
import { EXCHANGE_TAG, ROOT_TAG } from "./command_line.ts";

/** What the guest runs once its file systems stand. */
export interface GuestProgram {
  /** Working folder. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Command and arguments. */
  readonly command: readonly string[];
  /** Where the command's input and output go: the kernel's console or the terminal's port. */
  readonly terminal: "console" | "ttyS1";
}

/** What the guest's program touches as long as its event loop turns; its process id is in it. */
export const GUEST_PULSE = "/run/bargate-lab/pulse";
/** Without a pulse for so long, the kernel log gets what each thread of the program waits for. */
const PULSELESS_S = 60;

/** Where the guest finds the exchange folder. */
export const GUEST_EXCHANGE = "/run/bargate-lab/exchange";

/**
 * The guest's root is the host's, seen through an overlay: it can be written to everywhere and
 * the host's files never change.
 *
 * @param program what to run
 * @returns text of `/init`
 */
export function initScript(program: GuestProgram): string {
  return `#!/bin/busybox sh
b=/bin/busybox
fail() { echo "bargate-lab: init failed: $1"; $b poweroff -f; }
share="trans=virtio,version=9p2000.L,msize=512000"
$b mkdir -p /host /changes /root
$b mount -t 9p -o ro,$share,cache=loose ${ROOT_TAG} /host || fail "9p root"
$b mount -t tmpfs -o mode=755 changes /changes || fail "tmpfs"
$b mkdir /changes/upper /changes/work
$b mount -t overlay -o lowerdir=/host,upperdir=/changes/upper,workdir=/changes/work root /root || fail "overlay"
$b mount -t proc proc /root/proc || fail "proc"
$b mount -t sysfs sysfs /root/sys || fail "sysfs"
$b mount -t devtmpfs dev /root/dev || fail "devtmpfs"
$b mkdir -p /root/dev/pts /root/dev/shm
$b mount -t devpts devpts /root/dev/pts
$b mount -t tmpfs shm /root/dev/shm
$b mount -t tmpfs -o mode=755 run /root/run || fail "run"
$b mkdir -p /root${GUEST_EXCHANGE}
$b mount -t 9p -o $share,cache=none ${EXCHANGE_TAG} /root${GUEST_EXCHANGE} || fail "9p exchange"
$b mount -t debugfs debugfs /root/sys/kernel/debug || fail "debugfs"
$b mount -t tracefs tracefs /root/sys/kernel/tracing || fail "tracefs"
$b ip link set lo up
$b cat > /root/run/bargate-lab/start <<'START'
${startScript(program)}START
exec $b switch_root /root /bin/sh /run/bargate-lab/start
`;
}

/** Runs as process 1: when it ends the kernel would panic, so it powers off instead. */
function startScript(program: GuestProgram): string {
  const variables = Object.entries(program.environment)
    .map(([key, value]) => `export ${key}=${shellQuote(value)}\n`).join("");
  const command = program.command.map(shellQuote).join(" ");
  const device = `/dev/${program.terminal}`;
  // a terminal with job control needs a session of its own
  const run = program.terminal === "console" ? command : `setsid -c -w ${command}`;
  return `${watchPulse()}${variables}cd ${shellQuote(program.folder)}
${run} <${device} >${device} 2>&1
echo "bargate-lab: the guest's program ended with status $?" >/dev/console
busybox poweroff -f
`;
}

/** What does not answer cannot say why: that is for somebody else, and once is enough. */
function watchPulse(): string {
  return `(
while busybox sleep 10; do
  [ -e ${GUEST_PULSE} ] || continue
  silent=$(($(busybox date +%s) - $(busybox stat -c %Y ${GUEST_PULSE})))
  [ $silent -gt ${PULSELESS_S} ] || continue
  echo "bargate-lab: no pulse for $silent s" >/dev/kmsg
  for task in /proc/$(cat ${GUEST_PULSE})/task/*; do
    echo "bargate-lab: \${task##*/} $(cat $task/comm): $(cat $task/wchan), syscall $(cat $task/syscall)"
    busybox sed "s/^/bargate-lab:   /" $task/stack
  done 2>&1 | while read -r line; do echo "$line" >/dev/kmsg; done
  break
done
) &
`;
}

/** @returns the word in single quotes */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
