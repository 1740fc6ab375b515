/** Programs that the laboratory runs on the host. @module */
import { LabError } from "./lab_error.ts";
import { withLimit } from "./limit.ts";
import { LogTail } from "./machine/kernel_log.ts";
import { linesOf } from "./protocol/lines.ts";

/** How to run a program. */
export interface ExecOptions {
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** How long at most. */
  readonly limitMs: number;
  /** What to do if it fails or does not end in time. */
  readonly fix?: string;
  /** Hears each line of standard output and standard error. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs a program to its end; one that does not end in time is killed.
 *
 * @param doing what it is for, for messages: "update the package lists"
 * @param command program and arguments
 * @param options folder, environment, limit
 * @returns what it wrote to standard output
 * @throws LabError when it cannot be started, fails, or does not end in time
 */
export async function exec(
  doing: string,
  command: readonly string[],
  options: ExecOptions,
): Promise<string> {
  const child = start(doing, command, options);
  const tail = new LogTail(20);
  const lines: string[] = [];
  const work = Promise.all([
    child.status,
    follow(child.stdout, tail, options, (line) => lines.push(line)),
    follow(child.stderr, tail, options, () => undefined),
  ]);
  try {
    const [status] = await withLimit(
      work,
      options.limitMs,
      `${command[0]} to end, which was to ${doing}`,
      () => tail.last(),
      options.fix,
    );
    if (!status.success) throw failed(doing, command, status.code, tail, options.fix);
    return lines.join("\n");
  } catch (error) {
    await end(child, work);
    throw error;
  }
}

function start(
  doing: string,
  command: readonly string[],
  options: ExecOptions,
): Deno.ChildProcess {
  try {
    // should this process be killed, what it started ends too
    return new Deno.Command("setpriv", {
      args: ["--pdeathsig", "TERM", ...command],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
      env: { LC_ALL: "C", ...options.environment },
      ...(options.folder !== undefined && { cwd: options.folder }),
    }).spawn();
  } catch (cause) {
    throw new LabError(`Cannot ${doing}: cannot start setpriv, which starts ${command[0]}`, {
      fix: "install the package util-linux",
      cause,
    });
  }
}

async function follow(
  stream: ReadableStream<Uint8Array>,
  tail: LogTail,
  options: ExecOptions,
  keep: (line: string) => void,
): Promise<void> {
  for await (const line of linesOf(stream)) {
    tail.add(line);
    keep(line);
    options.onLine?.(line);
  }
}

function failed(
  doing: string,
  command: readonly string[],
  status: number,
  tail: LogTail,
  fix: string | undefined,
): LabError {
  const text = `Cannot ${doing}: ${command[0]} ended with status ${status}`;
  return new LabError(text, { tail: tail.last(), ...(fix !== undefined && { fix }) });
}

/** How long a program may take to clean up once it was told to end. */
const END_LIMIT_MS = 10_000;

async function end(child: Deno.ChildProcess, work: Promise<unknown>): Promise<void> {
  signal(child, "SIGTERM");
  const stopped = await withLimit(work, END_LIMIT_MS, "the program to end").then(
    () => true,
    () => false,
  );
  if (!stopped) signal(child, "SIGKILL");
}

function signal(child: Deno.ChildProcess, name: Deno.Signal): void {
  try {
    child.kill(name);
  } catch (error) {
    // it has ended by itself
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
