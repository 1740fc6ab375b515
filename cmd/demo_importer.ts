/**
 * The importer of the demo: the receiver of the examples, a process of its own, and what it says.
 *
 * @module
 */
import type { Fd } from "../engine/fd.ts";
import type { Account, Kernel } from "../engine/kernel.ts";
import { StartedProgram } from "../engine/started_program.ts";
import { childEnvironment, type Environment } from "./child_environment.ts";
import { ownFile } from "./own_file.ts";

const RECEIVER = ownFile("examples/clients/receiver.ts");
/** No file of configuration, no network, no cache of its own: it needs nothing but libc. */
const OPTIONS = ["--quiet", "--no-prompt", "--no-config", "--no-lock", "--no-remote", "--no-npm"];
const RIGHTS = ["--allow-ffi", "--allow-env=LISTEN_PID,LISTEN_FDNAMES"];
/** A line that does not come in this time does not come, ms. */
const LIMIT_MS = 30_000;

/** A line that the importer wrote to its standard output. */
export interface Said {
  readonly time: Date;
  readonly text: string;
}

/**
 * The program, to be started by a guardian.
 *
 * @param name of the importer in the policy
 * @param account that it runs as
 * @param stdout where it is to write
 */
export function demoImporter(name: string, account: Account, stdout: Fd): StartedProgram {
  return new StartedProgram(name, {
    recipient: { account, executable: Deno.execPath() },
    argv: ["deno", "run", ...OPTIONS, ...RIGHTS, RECEIVER],
    env: environment(account),
    stdoutToStderr: false,
    stdout,
  });
}

/** Deno's cache stays where it is, if it is anywhere unusual. */
function environment(account: Account): Environment {
  const own = Deno.env.toObject();
  const asked = own["DENO_DIR"] === undefined ? [] : [{ name: "DENO_DIR" }];
  return { ...childEnvironment(account, own, asked, false), DENO_NO_UPDATE_CHECK: "1" };
}

/** What the importer says, line by line. */
export class Words {
  /** All so far. */
  readonly said: Said[] = [];
  #rest = "";
  /** There will be no more. */
  #ended = false;
  #changed = Promise.withResolvers<void>();

  /**
   * @param kernel the port
   * @param socket the other end of its standard output
   */
  constructor(private readonly kernel: Kernel, private readonly socket: Fd) {
    const watch = kernel.watch(socket, () => {
      if (this.#take()) return;
      watch.stop();
      this.#ended = true;
      this.#tellAll();
    });
  }

  /**
   * Waits for a line.
   *
   * @param text the whole line
   * @throws {Error} if it does not come
   */
  async waitFor(text: string): Promise<void> {
    const why = `within ${LIMIT_MS / 1000} s`;
    const timer = setTimeout(() => this.#changed.reject(missing(text, why, this.said)), LIMIT_MS);
    try {
      while (!this.said.some((line) => line.text === text)) {
        if (this.#ended) throw missing(text, "before it ended", this.said);
        await this.#changed.promise;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Gives the socket back. */
  close(): void {
    this.kernel.close(this.socket);
  }

  /** @returns false if there will be no more */
  #take(): boolean {
    const packet = this.kernel.receive(this.socket);
    if (packet === "end") return false;
    if (packet === "empty") return true;
    for (const fd of packet.fds) this.kernel.close(fd);
    const lines = `${this.#rest}${new TextDecoder().decode(packet.bytes)}`.split("\n");
    this.#rest = lines.pop() ?? "";
    const time = new Date();
    this.said.push(...lines.map((text) => ({ time, text: text.trimEnd() })));
    this.#tellAll();
    return true;
  }

  #tellAll(): void {
    const told = this.#changed;
    this.#changed = Promise.withResolvers<void>();
    told.resolve();
  }
}

function missing(text: string, why: string, said: readonly Said[]): Error {
  const heard = said.map((line) => JSON.stringify(line.text)).join(", ");
  const received = heard === "" ? "nothing" : heard;
  return new Error(
    `the importer has not said ${JSON.stringify(text)} ${why} (received ${received})`,
  );
}
