/** Starts QEMU, listens to the guest, and always ends QEMU. @module */
import { temporaryFolder } from "../folders.ts";
import { LabError } from "../lab_error.ts";
import { withLimit } from "../limit.ts";
import { dirname, join } from "../path.ts";
import { linesOf } from "../protocol/lines.ts";
import { type GuestMessage, parseMessage } from "../protocol/message.ts";
import { commandLine, type OtherProcessor } from "./command_line.ts";
import { buildInitramfs } from "./initramfs.ts";
import { type GuestProgram, initScript } from "./init_script.ts";
import { findTrouble, LogTail, type Trouble } from "./kernel_log.ts";
import { Queue } from "./queue.ts";
import { labDevices } from "./topology.ts";

/** What a machine is made of. */
export interface VmOptions {
  readonly kernel: string;
  readonly busybox: string;
  readonly qemu: string;
  readonly program: GuestProgram;
  /** Folder on the host that the guest writes to; the logs are kept here too. */
  readonly exchange: string;
  /** Absent: the usual one. */
  readonly processor?: OtherProcessor;
  /** Gives this process's terminal to the guest. */
  readonly terminal?: boolean;
}

/** Something that happened in or to the machine. */
export type VmEvent =
  | { readonly kind: "message"; readonly message: GuestMessage }
  | { readonly kind: "trouble"; readonly trouble: Trouble }
  | { readonly kind: "end"; readonly status: number };

/** A process that was killed ends at once, unless a call of the host's kernel holds it. */
const END_LIMIT_MS = 60_000;

/** A running machine. */
export interface Vm {
  /** Folder with `kernel.log` and `qemu.log`. */
  readonly logFolder: string;
  /**
   * @param count how many lines of the kernel's log at most
   * @returns the newest lines of QEMU's standard error and of the kernel's log
   */
  tail(count?: number): readonly string[];
  /**
   * @param milliseconds how long to wait
   * @param what what is waited for, for the message
   * @returns the next event
   * @throws LabError when none comes in time
   */
  next(milliseconds: number, what: string): Promise<VmEvent>;
}

/**
 * Runs a machine for as long as `use` takes, and ends it whatever happens.
 *
 * @param options the machine
 * @param use what to do with it
 * @returns what `use` returns
 */
export async function withVm<T>(options: VmOptions, use: (vm: Vm) => Promise<T>): Promise<T> {
  // Unix socket paths are short (107 bytes), so they don't live in the exchange folder
  const sockets = await temporaryFolder("bargate-lab-");
  try {
    return await runVm(options, sockets, use);
  } finally {
    await Deno.remove(sockets, { recursive: true });
  }
}

async function runVm<T>(
  options: VmOptions,
  sockets: string,
  use: (vm: Vm) => Promise<T>,
): Promise<T> {
  const logSocket = join(sockets, "log");
  const messageSocket = join(sockets, "messages");
  refuseLong(messageSocket);
  const initramfs = join(sockets, "initramfs");
  await Deno.writeFile(
    initramfs,
    await buildInitramfs(options.busybox, initScript(options.program)),
  );
  using logListener = Deno.listen({ transport: "unix", path: logSocket });
  using messageListener = Deno.listen({ transport: "unix", path: messageSocket });
  const child = startQemu(options, { initramfs, logSocket, messageSocket });
  const endWithSignal = cleanUpOnSignal(child, sockets);
  const listening = listen(child, logListener, messageListener, options.exchange);
  try {
    return await use(listening.vm);
  } finally {
    kill(child);
    await withLimit(listening.finished, END_LIMIT_MS, "QEMU to end, which was killed");
    endWithSignal.stop();
  }
}

/** Without the zero byte at its end. */
const SOCKET_PATH_BYTES = 107;

function refuseLong(path: string): void {
  if (new TextEncoder().encode(path).length <= SOCKET_PATH_BYTES) return;
  throw new LabError(
    `Cannot run the guest: ${path} is too long for a socket's path (${SOCKET_PATH_BYTES} bytes)`,
    { fix: "name a shorter folder with TMPDIR" },
  );
}

function startQemu(
  options: VmOptions,
  files: {
    readonly initramfs: string;
    readonly logSocket: string;
    readonly messageSocket: string;
  },
): Deno.ChildProcess {
  const terminal = options.terminal ?? false;
  const args = commandLine({
    ...files,
    ...(options.processor !== undefined && { processor: options.processor }),
    kernel: options.kernel,
    exchange: options.exchange,
    devices: labDevices(join(dirname(files.initramfs), "ivshmem")),
    terminal,
  });
  // should this process be killed without a chance to clean up, QEMU dies with it
  return new Deno.Command("setpriv", {
    args: ["--pdeathsig", "KILL", options.qemu, ...args],
    stdin: terminal ? "inherit" : "null",
    stdout: terminal ? "inherit" : "null",
    stderr: "piped",
  }).spawn();
}

function kill(child: Deno.ChildProcess): void {
  try {
    child.kill("SIGKILL");
  } catch (error) {
    // it has ended by itself, which is what was wanted
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const SIGNAL_NUMBERS = { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 } as const;

/** A signal ends QEMU first and then this process, with the shell's status for it. */
function cleanUpOnSignal(child: Deno.ChildProcess, sockets: string): { stop(): void } {
  const handlers = SIGNALS.map((signal) => ({
    signal,
    handle: () => {
      kill(child);
      Deno.removeSync(sockets, { recursive: true });
      Deno.exit(128 + SIGNAL_NUMBERS[signal]);
    },
  }));
  for (const { signal, handle } of handlers) Deno.addSignalListener(signal, handle);
  return {
    stop: () => {
      for (const { signal, handle } of handlers) Deno.removeSignalListener(signal, handle);
    },
  };
}

interface Listening {
  readonly vm: Vm;
  /** Resolves when every reader has read to the end. */
  readonly finished: Promise<void>;
}

function listen(
  child: Deno.ChildProcess,
  logListener: Deno.UnixListener,
  messageListener: Deno.UnixListener,
  logFolder: string,
): Listening {
  const queue = new Queue<VmEvent>();
  const log = new LogTail();
  const qemuLog = new LogTail(10);
  const readers = [
    readKernelLog(logListener, child, join(logFolder, "kernel.log"), log, queue),
    readMessages(messageListener, child, queue),
    keepLines(child.stderr, join(logFolder, "qemu.log"), (line) => qemuLog.add(line)),
  ];
  const tail = (count = 25) => [
    ...qemuLog.last().map((line) => `qemu: ${line}`),
    ...log.last(count).map((line) => `kernel: ${line}`),
  ];
  // the end comes last: whatever the guest said before is taken first
  const finished = Promise.all([child.status, ...readers]).then(([status]) =>
    queue.put({ kind: "end", status: status.code })
  );
  return {
    finished,
    vm: {
      logFolder,
      tail,
      next: (milliseconds, what) => withLimit(queue.take(), milliseconds, what, () => tail()),
    },
  };
}

/** QEMU connects at its start; where it could not start there is nothing to read. */
async function connection(
  listener: Deno.UnixListener,
  child: Deno.ChildProcess,
): Promise<ReadableStream<Uint8Array>> {
  const accepted = listener.accept();
  const first = await Promise.race([accepted, child.status]);
  if ("readable" in first) return first.readable;
  listener.close();
  const late = await accepted.catch(() => undefined);
  return late?.readable ?? new ReadableStream({ start: (controller) => controller.close() });
}

async function readKernelLog(
  listener: Deno.UnixListener,
  child: Deno.ChildProcess,
  path: string,
  log: LogTail,
  queue: Queue<VmEvent>,
): Promise<void> {
  await keepLines(await connection(listener, child), path, (line) => {
    log.add(line);
    const trouble = findTrouble(line);
    if (trouble !== undefined) queue.put({ kind: "trouble", trouble });
  });
}

async function readMessages(
  listener: Deno.UnixListener,
  child: Deno.ChildProcess,
  queue: Queue<VmEvent>,
): Promise<void> {
  for await (const line of linesOf(await connection(listener, child))) {
    queue.put({ kind: "message", message: parseMessage(line) });
  }
}

async function keepLines(
  stream: ReadableStream<Uint8Array>,
  path: string,
  each: (line: string) => void,
): Promise<void> {
  using file = await Deno.open(path, { create: true, append: true, write: true });
  for await (const line of linesOf(stream)) {
    each(line);
    file.writeSync(new TextEncoder().encode(`${line}\n`));
  }
}

/**
 * @param vm the machine that ended early
 * @param status QEMU's exit status
 * @param doing what the guest was doing
 * @returns the error to throw
 */
export function endedEarly(vm: Vm, status: number, doing: string): LabError {
  return new LabError(`The guest ended (QEMU's status ${status}) while ${doing}`, {
    fix: `see kernel.log and qemu.log in ${vm.logFolder}`,
    tail: vm.tail(),
  });
}
