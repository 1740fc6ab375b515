/**
 * The file of `--vf-token-file`: tokens for opening virtual functions. What is in it is secret, so that
 * no message repeats any of it.
 *
 * @module
 */
import type { VfTokenSource } from "../engine/vf_token.ts";
import { checkedVfToken } from "../ffi/vf_token.ts";
import { isPciAddress, meantPciAddress } from "../host/address.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";
import { fileTrouble } from "./file_trouble.ts";

const GROUP_OR_OTHERS = 0o077;
const MOST_BYTES = 64 * 1024;

/**
 * Reads a file of tokens, which must be the account's own and nobody else's to read.
 *
 * @param path of the file
 * @param uid the account that Bargate runs as
 * @returns which token a function is opened with
 * @throws {CommandError} host not ready: others could read or replace it; usage: it cannot be read,
 * is no file of tokens, or a token was given in place of a path
 */
export async function readVfTokens(path: string, uid: number): Promise<VfTokenSource> {
  refuseToken(path);
  return parseVfTokens(await readPrivate(path, uid), path);
}

/**
 * Understands a file of tokens: one UUID for all virtual functions, or a line `ADDRESS UUID` for each
 * function; a physical function's line serves for its virtual functions too. Lines that are empty or
 * begin with `#` count for nothing.
 *
 * @param text of the file
 * @param path of the file, for messages
 * @returns which token a function is opened with
 * @throws {CommandError} usage: it is no file of tokens
 *
 * @example
 * ```ts
 * import { parseVfTokens } from "./vf_token_file.ts";
 *
 * const token = "14e7b6a0-1b2c-4d3e-8f90-0123456789ab";
 * const tokenFor = parseVfTokens(`0000:04:00.0 ${token}\n`, "tokens");
 * const vf = { address: "0000:04:00.1", physfn: "0000:04:00.0" };
 * if (tokenFor(vf) !== token) throw new Error("the PF's line serves");
 * if (tokenFor({ address: "0000:09:00.0" }) !== undefined) throw new Error("there is none");
 * ```
 */
export function parseVfTokens(text: string, path: string): VfTokenSource {
  const lines = text.split("\n").map((line, index) => ({ words: wordsOf(line), number: index + 1 }))
    .filter(({ words: [first] }) => first !== undefined && !first.startsWith("#"));
  const [first] = lines;
  if (first === undefined) throw wrong(path, "it has no token in it");
  if (lines.length === 1 && first.words.length === 1) {
    const token = tokenOf(first.words[0] ?? "", path, first.number);
    return ({ physfn }) => physfn === undefined ? undefined : token;
  }
  const tokens = new Map<string, string>();
  for (const { words, number } of lines) addLine(tokens, words, path, number);
  return ({ address, physfn }) => tokens.get(address) ?? tokens.get(physfn ?? "");
}

function wordsOf(line: string): readonly string[] {
  return line.split(/[ \t\r]+/).filter((word) => word !== "");
}

function addLine(
  tokens: Map<string, string>,
  words: readonly string[],
  path: string,
  line: number,
): void {
  const [address = "", token = ""] = words;
  if (words.length !== 2 || !isPciAddress(address)) {
    const meant = meantPciAddress(address);
    const like = meant === undefined || isPciAddress(address)
      ? "the address like 0000:04:00.0"
      : `the address written ${meant}`;
    throw wrong(path, `line ${line} is not ADDRESS UUID, ${like}`);
  }
  if (tokens.has(address)) throw wrong(path, `line ${line} has an address that an earlier one has`);
  tokens.set(address, tokenOf(token, path, line));
}

function tokenOf(word: string, path: string, line: number): string {
  try {
    return checkedVfToken(word);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw wrong(path, `the token in line ${line} is no UUID of the form 8-4-4-4-12`);
  }
}

function wrong(path: string, why: string): CommandError {
  return new CommandError(
    `Cannot use ${
      subject(path)
    }: ${why}; it must hold one UUID for all virtual functions, or a line ADDRESS UUID for each function`,
    ExitStatus.usage,
  );
}

/** A token in place of a path would stand in the message that there is no such file. */
function refuseToken(path: string): void {
  try {
    checkedVfToken(path);
  } catch (error) {
    if (error instanceof TypeError) return;
    throw error;
  }
  throw new CommandError(
    "Cannot use a token for --vf-token-file: it takes the path of a file, for everybody on this machine can read a command line; write the token into a file of mode 600, and change it",
    ExitStatus.usage,
  );
}

/** What looks like a token in any of the ways that one is written, or like most of one. */
const TOKEN_LIKE = /[0-9a-f]{24}/i;

/** The file in messages; a token, well-formed or not, that was given in its place is not repeated. */
function subject(path: string): string {
  return TOKEN_LIKE.test(path.replace(/[-{}\s]/g, ""))
    ? "the value of --vf-token-file"
    : `${path} for --vf-token-file`;
}

async function readPrivate(path: string, uid: number): Promise<string> {
  try {
    // To open a pipe would wait for a writer.
    checkPrivate(await Deno.stat(path), path, uid);
    using file = await Deno.open(path);
    checkPrivate(await file.stat(), path, uid);
    return await readAll(file, path);
  } catch (cause) {
    if (cause instanceof CommandError) throw cause;
    // The runtime's own message would repeat the path: only its cause is told.
    throw new CommandError(
      `Cannot read ${subject(path)}: ${fileTrouble(cause, "read")}`,
      ExitStatus.usage,
    );
  }
}

async function readAll(file: Deno.FsFile, path: string): Promise<string> {
  const buffer = new Uint8Array(MOST_BYTES + 1);
  let length = 0;
  for (let got = 1; got > 0 && length < buffer.length; length += got) {
    got = await file.read(buffer.subarray(length)) ?? 0;
  }
  if (length > MOST_BYTES) throw wrong(path, `it has more than ${MOST_BYTES} bytes`);
  const text = new TextDecoder().decode(buffer.subarray(0, length));
  buffer.fill(0);
  return text;
}

function checkPrivate(info: Deno.FileInfo, path: string, uid: number): void {
  const mode = info.mode ?? GROUP_OR_OTHERS;
  if (info.isFile && info.uid === uid && (mode & GROUP_OR_OTHERS) === 0) return;
  const received = info.isFile
    ? `a file of account ${info.uid}, mode ${(mode & 0o7777).toString(8).padStart(3, "0")}`
    : "no regular file";
  throw new CommandError(
    `Cannot use ${
      subject(path)
    }: it must be a file of account ${uid} that nobody else can read (received ${received}); chown it to that account and chmod it to 600, and change the tokens if others could have read them`,
    ExitStatus.hostNotReady,
  );
}
