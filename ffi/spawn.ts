/**
 * Starting a program with descriptors and, where asked, as another account.
 *
 * posix_spawn(3), for the runtime's own way passes no descriptors. What the child gets is fixed: 0,
 * 1 and 2, the given descriptors from 3 on, nothing else; no signal blocked or ignored (the runtime
 * ignores SIGPIPE); the given environment; a session of its own, so that a terminal that it shares
 * is not its controlling one: it can neither put input there (TIOCSTI), nor do the terminal's keys
 * end it before its descriptors have been taken back. Another account is taken by setpriv(1).
 * `LISTEN_PID` is the child's own pid, which only the child knows: a fixed line of shell, run as the
 * account, sets it and becomes the program.
 *
 * @module
 */
import { Fd } from "../engine/fd.ts";
import type { Account, Child, SpawnRequest } from "../engine/kernel.ts";
import { toCString } from "./c_string.ts";
import { toCStringArray } from "./c_string_array.ts";
import { closeDescriptor, duplicate } from "./descriptors.ts";
import { checked, ERRNO, kernelError, reissued } from "./errno.ts";
import { identifyPath, isType } from "./file_identity.ts";
import { C, STRUCTS } from "./layouts.ts";
import { libc } from "./libc.ts";
import { isLoaderVariable } from "./loader_variable.ts";
import { openPidfd } from "./process.ts";
import { allocate } from "./struct.ts";

const SHELL = "/bin/sh";
const SET_LISTEN_PID = 'LISTEN_PID=$$; export LISTEN_PID; exec "$@"';

/** util-linux; by its full path, for this process is privileged and PATH is not ours. */
const SETPRIV = "/usr/bin/setpriv";

const STDOUT = 1;
const STDERR = 2;
/** `SD_LISTEN_FDS_START`. */
const FIRST = 3;

/**
 * Starts a program.
 *
 * @param request what, and with what. Instead of `argv[0]` the program sees the path: the shell's
 * `exec` knows no other
 * @returns the child; its pidfd belongs to the caller
 * @throws {KernelError} ENOENT, EACCES where the program, or setpriv where it is needed, cannot be
 * executed. What goes wrong after that is the child's exit status 126 or 127
 * @throws {TypeError} if a name of a descriptor or of the environment cannot be passed
 *
 * @example
 * ```ts
 * import "./preload.ts";
 * import { closeDescriptor } from "./descriptors.ts";
 * import { createEventFd } from "./event_fd.ts";
 * import { spawnProgram } from "./spawn.ts";
 *
 * const fd = createEventFd("example");
 * const child = spawnProgram({
 *   path: "/bin/true",
 *   argv: ["true"],
 *   env: {},
 *   fds: [{ name: "example", fd }],
 *   stdoutToStderr: false,
 * });
 * closeDescriptor(child.pidfd);
 * closeDescriptor(fd);
 * ```
 */
export function spawnProgram(request: SpawnRequest): Child {
  requireExecutable(request.path);
  const command = commandOf(request);
  const envp = toCStringArray(environmentOf(request));
  return using(sourcesOf(request), (sources) => {
    const pid = posixSpawn(request, sources, command, envp);
    return { pid, pidfd: openPidfd(pid, `${request.path} (pid ${pid})`) };
  });
}

/**
 * The child's command line, with what comes before the program.
 *
 * @param request path, arguments, account
 * @returns the path to execute, and its arguments
 */
export function commandOf(request: SpawnRequest): readonly [string, ...string[]] {
  const program = [request.path, ...request.argv.slice(1)];
  const start = ["-c", SET_LISTEN_PID, "sh", ...program];
  const { account } = request;
  if (account === undefined || isOwn(account)) return [SHELL, ...start];
  requireExecutable(SETPRIV);
  return [SETPRIV, ...becoming(account), SHELL, ...start];
}

function isOwn(account: Account): boolean {
  return account.uid === libc().geteuid() && account.gid === libc().getegid();
}

/**
 * setpriv's arguments. The bounding set stays: a program with file capabilities needs it, and no
 * other way leads from another uid to capabilities, for inheritable and ambient ones are dropped.
 */
function becoming(account: Account): string[] {
  const ids = ["--reuid", `${account.uid}`, "--regid", `${account.gid}`, "--init-groups"];
  return [...ids, "--inh-caps=-all", "--ambient-caps=-all", "--"];
}

function requireExecutable(path: string): void {
  if (!isType(identifyPath(path), C.S_IFREG)) throw kernelError("posix_spawn", -ERRNO.EACCES, path);
  const name = toCString(path);
  checked("access", path, reissued(() => libc().access(name, C.X_OK)));
}

/** What sd_listen_fds(3) reads; nobody else sets them. */
const OURS: ReadonlySet<string> = new Set(["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]);

function environmentOf(request: SpawnRequest): string[] {
  const entries = Object.entries(request.env).filter(([name]) => !OURS.has(name));
  const bad = entries.find(([name]) => name === "" || name.includes("="));
  if (bad !== undefined) {
    throw new TypeError(
      `Cannot start ${request.path}: no such variable can be (received ${bad[0]})`,
    );
  }
  refuseForLoader(request, entries.map(([name]) => name));
  return [...entries, ...listenVariables(request)].map(([name, value]) => `${name}=${value}`);
}

/** setpriv runs with the child's environment and this process's rights. */
function refuseForLoader({ path, account }: SpawnRequest, names: readonly string[]): void {
  if (account === undefined || isOwn(account)) return;
  const bad = names.find(isLoaderVariable);
  if (bad === undefined) return;
  throw new TypeError(
    `Cannot start ${path}: what changes to account ${account.name} would heed the variable too, ` +
      `and is privileged (received ${bad})`,
  );
}

/** sd_listen_fds(3); a program that gets none must not be told of 0. */
function listenVariables({ path, fds }: SpawnRequest): [string, string][] {
  if (fds.length === 0) return [];
  const bad = fds.find(({ name }) => !/^[^:\p{Cc}]{1,255}$/u.test(name));
  if (bad !== undefined) {
    throw new TypeError(
      `Cannot start ${path}: the name of a descriptor has 1 to 255 characters, no colon and no ` +
        `control character (received ${JSON.stringify(bad.name)})`,
    );
  }
  return [["LISTEN_FDS", `${fds.length}`], ["LISTEN_FDNAMES", fds.map((it) => it.name).join(":")]];
}

/** Duplicates above the numbers that the child uses, so that no dup2 overwrites what a later one needs. */
function sourcesOf({ fds }: SpawnRequest): Fd[] {
  const sources: Fd[] = [];
  try {
    for (const { fd } of fds) sources.push(duplicate(fd, FIRST + fds.length));
    return sources;
  } catch (error) {
    sources.forEach(closeDescriptor);
    throw error;
  }
}

function using<T>(sources: readonly Fd[], step: (sources: readonly Fd[]) => T): T {
  try {
    return step(sources);
  } finally {
    sources.forEach(closeDescriptor);
  }
}

function posixSpawn(
  request: SpawnRequest,
  sources: readonly Fd[],
  command: readonly [string, ...string[]],
  envp: Uint8Array<ArrayBuffer>,
): number {
  const c = libc();
  const pid = new Int32Array(new ArrayBuffer(4));
  const [path, argv] = [toCString(command[0]), toCStringArray([...command])];
  const [actions, attributes] = [fileActions(request, sources), freshStart()];
  try {
    succeeded(request.path, c.posix_spawn(pid, path, actions, attributes, argv, envp));
  } finally {
    c.posix_spawn_file_actions_destroy(actions);
    c.posix_spawnattr_destroy(attributes);
  }
  return pid[0] ?? -1;
}

function fileActions(request: SpawnRequest, sources: readonly Fd[]): DataView<ArrayBuffer> {
  const c = libc();
  const actions = allocate(STRUCTS.posix_spawn_file_actions_t);
  const did = (error: number) => succeeded(request.path, error);
  did(c.posix_spawn_file_actions_init(actions));
  const stdout = request.stdout?.number ?? (request.stdoutToStderr ? STDERR : undefined);
  if (stdout !== undefined) did(c.posix_spawn_file_actions_adddup2(actions, stdout, STDOUT));
  sources.forEach(({ number }, index) =>
    did(c.posix_spawn_file_actions_adddup2(actions, number, FIRST + index))
  );
  // What this process inherited without close-on-exec must not reach the child.
  did(c.posix_spawn_file_actions_addclosefrom_np(actions, FIRST + sources.length));
  return actions;
}

const FRESH = C.POSIX_SPAWN_SETSIGDEF | C.POSIX_SPAWN_SETSIGMASK | C.POSIX_SPAWN_SETSID;

/** No signal blocked or ignored, and a session of its own. */
function freshStart(): DataView<ArrayBuffer> {
  const c = libc();
  const attributes = allocate(STRUCTS.posix_spawnattr_t);
  const [none, all] = [allocate(STRUCTS.sigset_t), allocate(STRUCTS.sigset_t)];
  c.sigemptyset(none);
  c.sigfillset(all);
  c.posix_spawnattr_init(attributes);
  c.posix_spawnattr_setflags(attributes, FRESH);
  c.posix_spawnattr_setsigmask(attributes, none);
  c.posix_spawnattr_setsigdefault(attributes, all);
  return attributes;
}

/** posix_spawn and its kin answer the error number; errno says nothing. */
function succeeded(path: string, error: number): void {
  if (error !== 0) throw kernelError("posix_spawn", -error, path);
}
