/** @module */

/**
 * Cuts a stream of bytes into lines. A last line without an end is given too; carriage returns
 * before a line's end (serial ports add them) are dropped.
 *
 * @param stream the bytes
 * @returns the lines
 */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    const { lines, tail } = cutLines(rest + decoder.decode(bytes, { stream: true }));
    rest = tail;
    yield* lines;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest;
}

/**
 * @param text some lines and perhaps the beginning of another
 * @returns the whole lines and what is left
 */
export function cutLines(
  text: string,
): { readonly lines: readonly string[]; readonly tail: string } {
  const parts = text.split(/\r*\n/);
  return { lines: parts.slice(0, -1), tail: parts.at(-1) ?? "" };
}
