/**
 * VF tokens: the shared secret of a PF's owner and those who open its VFs (a UUID).
 *
 * @module
 */

/** Bytes of a UUID. */
export const VF_TOKEN_BYTES = 16;

const PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/**
 * The bytes of a token, in the order of its text (the kernel's `uuid_t`).
 *
 * @param token `14e7b6a0-…`, 36 characters
 * @returns 16 bytes
 * @throws {TypeError} if it is no UUID; the message does not repeat the secret
 *
 * @example
 * ```ts
 * import { vfTokenBytes } from "./vf_token.ts";
 *
 * const bytes = vfTokenBytes("00112233-4455-6677-8899-aabbccddeeff");
 * if (bytes[0] !== 0 || bytes[15] !== 0xff) throw new Error("the text's order");
 * ```
 */
export function vfTokenBytes(token: string): Uint8Array<ArrayBuffer> {
  const digits = checkedVfToken(token).replaceAll("-", "");
  const bytes = new Uint8Array(new ArrayBuffer(VF_TOKEN_BYTES));
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = Number.parseInt(digits.slice(2 * at, 2 * at + 2), 16);
  }
  return bytes;
}

/**
 * The token itself, where it is one.
 *
 * @param token from a file
 * @throws {TypeError} if it is no UUID
 */
export function checkedVfToken(token: string): string {
  if (PATTERN.test(token)) return token;
  throw new TypeError(
    `Cannot use the VF token: it is no UUID of the form 8-4-4-4-12 (received ${token.length} characters)`,
  );
}
