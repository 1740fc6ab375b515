/**
 * Where running guardians can be reached by their operator: a folder of private sockets.
 *
 * @module
 */

/** Of root's guardians. */
const SYSTEM_FOLDER = "/run/bargate";

/**
 * The folder of the account that runs this.
 *
 * @param uid of the account
 * @returns an absolute path
 */
export function runtimeFolder(uid: number): string {
  const own = Deno.env.get("XDG_RUNTIME_DIR");
  if (uid === 0) return SYSTEM_FOLDER;
  return own === undefined ? `/tmp/bargate-${uid}` : `${own}/bargate`;
}

/**
 * Makes the folder, for its account alone.
 *
 * @param uid of the account
 * @returns its path
 * @throws {Deno.errors.PermissionDenied} if it belongs to somebody else, or is open to others
 */
export async function ensureRuntimeFolder(uid: number): Promise<string> {
  const folder = runtimeFolder(uid);
  await Deno.mkdir(folder, { recursive: true, mode: 0o700 });
  const info = await Deno.lstat(folder);
  if (!info.isDirectory || info.uid !== uid || ((info.mode ?? 0) & 0o077) !== 0) {
    throw new Deno.errors.PermissionDenied(
      `Cannot use ${folder}: it must be a folder of account ${uid} that nobody else can enter`,
    );
  }
  return folder;
}
