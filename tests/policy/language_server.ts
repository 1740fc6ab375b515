/**
 * The editor's side of a language server: JSON-RPC over standard streams.
 */

/** One message of the protocol, as far as tests look. */
interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly result?: unknown;
}

/** A running language server. */
export class LanguageServer {
  readonly #child: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #configuration: unknown;
  readonly #answers = new Map<number, (result: unknown) => void>();
  readonly #published = Promise.withResolvers<unknown>();
  readonly #reading: Promise<void>;
  #lastId = 0;

  /**
   * @param specifier what Deno runs
   * @param configuration what the server gets when it asks for its settings
   */
  constructor(specifier: string, configuration: unknown) {
    this.#configuration = configuration;
    this.#child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", specifier, "--stdio"],
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#writer = this.#child.stdin.getWriter();
    this.#reading = this.#read();
  }

  /** What the server says is wrong with the first document. */
  get published(): Promise<unknown> {
    return this.#published.promise;
  }

  /** Asks and waits for the answer. */
  async ask(method: string, params: unknown): Promise<unknown> {
    const id = ++this.#lastId;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#answers.set(id, resolve);
    await this.#send({ id, method, params });
    return await promise;
  }

  /** Tells, without an answer. */
  async tell(method: string, params: unknown): Promise<void> {
    await this.#send({ method, params });
  }

  /** Ends the server. */
  async close(): Promise<void> {
    this.#child.kill("SIGKILL");
    // The pipe breaks with the process; that it does is no news.
    await this.#writer.abort();
    await this.#reading;
    await this.#child.status;
  }

  async #send(message: unknown): Promise<void> {
    const body = new TextEncoder().encode(
      JSON.stringify(Object.assign({ jsonrpc: "2.0" }, message)),
    );
    const head = new TextEncoder().encode(`Content-Length: ${body.length}\r\n\r\n`);
    await this.#writer.write(head);
    await this.#writer.write(body);
  }

  async #read(): Promise<void> {
    let buffered = "";
    // All that the server sends here is ASCII, so characters count as bytes.
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      buffered += text;
      for (;;) {
        const head = /^Content-Length: ([0-9]+)\r\n(?:[^\r]+\r\n)*\r\n/.exec(buffered);
        const end = (head?.[0].length ?? 0) + Number(head?.[1]);
        if (head === null || buffered.length < end) break;
        await this.#take(JSON.parse(buffered.slice(head[0].length, end)));
        buffered = buffered.slice(end);
      }
    }
  }

  async #take({ id, method, params, result }: Message): Promise<void> {
    if (method === "textDocument/publishDiagnostics") {
      this.#published.resolve(params?.["diagnostics"]);
    } else if (id !== undefined && method !== undefined) {
      const items = params?.["items"];
      const settings = Array.isArray(items)
        ? items.map(({ section }) => section === "yaml" ? this.#configuration : null)
        : null;
      await this.#send({ id, result: settings });
    } else if (id !== undefined) {
      this.#answers.get(id)?.(result);
    }
  }
}
