/**
 * Files that are read whole, and that nobody vouches for.
 *
 * @module
 */
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";
import { collectBounded } from "./policy_input.ts";

/**
 * Reads a file, but no more of it than shows that it is too large: it could be a device without end.
 *
 * @param path of the file
 * @param what it is, for messages
 * @param limit bytes
 * @returns its bytes; more than `limit` if it is too large
 * @throws {CommandError} usage: it cannot be read
 */
export async function readBounded(path: string, what: string, limit: number): Promise<Uint8Array> {
  try {
    const { isFile, size } = await Deno.stat(path);
    if (isFile && size <= limit) return await Deno.readFile(path);
    const file = await Deno.open(path);
    return await collectBounded(file.readable, limit);
  } catch (error) {
    throw new CommandError(
      `Cannot read ${what} ${path}: ${fileTrouble(error, "read")}`,
      ExitStatus.usage,
    );
  }
}
