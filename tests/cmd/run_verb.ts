/** Runs verbs as processes of their own. */

const MAIN = new URL("../../cmd/main.ts", import.meta.url);

/** How a process of its own answered. */
export interface Answer {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run. */
export interface RunOptions {
  readonly stdin?: string;
  readonly cwd?: string | URL;
  /** Default: to read any file, and nothing else. */
  readonly rights?: readonly string[];
}

/** Runs `bargate` with no right but those given. */
export async function bargate(args: readonly string[], options: RunOptions = {}): Promise<Answer> {
  const rights = options.rights ?? ["--allow-read"];
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", ...rights, MAIN.pathname, ...args],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  if (options.stdin !== undefined) await writer.write(new TextEncoder().encode(options.stdin));
  await writer.close();
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { status: code, stdout: text(stdout), stderr: text(stderr) };
}

/** Gives a folder that is gone afterwards. */
export async function withFolder(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "bargate-test-" });
  try {
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
