/**
 * Waiting for a socket's end. A program or a lane that another test starts at this moment has a copy of
 * every descriptor until it runs: what is closed is gone a little later.
 *
 * @module
 */

/**
 * @param receive takes what is there
 * @returns the first thing that is not `empty`
 */
export async function untilTold<T>(
  receive: () => T | "empty" | Promise<T | "empty">,
): Promise<Exclude<T, "empty">> {
  while (true) {
    const told = await receive();
    if (told !== "empty") return told as Exclude<T, "empty">;
    await new Promise((resolve) => setTimeout(resolve));
  }
}
