/**
 * Files that only their account may read, whole or not there.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";

const OWN_ONLY = 0o600;

/**
 * Writes a file that nobody but this account can read, whatever the umask and whatever was there: a
 * new file takes the old one's place when it is whole. Links and devices are not written to: what
 * root names could be another's link, or `/dev/stdout`.
 *
 * @param path of the file
 * @param what is written, for messages
 * @param pieces of its text
 * @throws {CommandError} usage: it cannot be written there; what was there is as it was
 */
export function writePrivate(path: string, what: string, pieces: Iterable<string>): void {
  try {
    refuseSpecial(path, what);
    replace(path, pieces);
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw cannotWrite(path, what, fileTrouble(error, "write"));
  }
}

function cannotWrite(path: string, what: string, why: string): CommandError {
  return new CommandError(`Cannot write ${what} to ${path}: ${why}`, ExitStatus.usage);
}

/**
 * Refuses a path at which there is something.
 *
 * @param path of a file to be
 * @param what is to be written, for messages
 * @throws {CommandError} usage: something is there, or that cannot be told
 */
export function refuseExisting(path: string, what: string): void {
  try {
    if (lookAt(path) === undefined) return;
  } catch (error) {
    throw cannotWrite(path, what, fileTrouble(error, "write"));
  }
  throw cannotWrite(
    path,
    what,
    "there is a file already; name another one, or give --force to replace it",
  );
}

function refuseSpecial(path: string, what: string): void {
  const info = lookAt(path);
  if (info === undefined || info.isFile) return;
  if (info.isDirectory) throw cannotWrite(path, what, "it is a folder; name a file");
  const kind = info.isSymlink ? "a link" : "no regular file";
  throw cannotWrite(path, what, `it is ${kind}; name a regular file, or - for standard output`);
}

function lookAt(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** In the same folder, for only within a file system is a rename one step. */
function replace(path: string, pieces: Iterable<string>): void {
  const folder = path.slice(0, path.lastIndexOf("/") + 1);
  const draft = `${folder}.bargate-${crypto.randomUUID()}`;
  // `createNew` is O_EXCL: what somebody else has put there is neither followed nor written to.
  const file = Deno.openSync(draft, { write: true, createNew: true, mode: OWN_ONLY });
  try {
    writeAll(file, pieces);
    Deno.renameSync(draft, path);
  } catch (error) {
    Deno.removeSync(draft);
    throw error;
  }
}

function writeAll(opened: Deno.FsFile, pieces: Iterable<string>): void {
  using file = opened;
  const encoder = new TextEncoder();
  for (const piece of pieces) {
    for (let rest = encoder.encode(piece); rest.length > 0;) {
      rest = rest.subarray(file.writeSync(rest));
    }
  }
}
