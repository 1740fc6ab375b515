/** How the laboratory talks to the person who started it. @module */

/** Where lines go. */
export interface LineSink {
  readonly isTerminal: boolean;
  write(text: string): void;
}

/** A colour, or a weight, of a terminal. */
export type Paint = "bold" | "dim" | "red" | "green" | "yellow" | "cyan";

const CODES: Readonly<Record<Paint, number>> = {
  bold: 1,
  dim: 2,
  red: 31,
  green: 32,
  yellow: 33,
  cyan: 36,
};

/** Between two progress lines where there is no terminal. */
const LINE_EVERY_MS = 15_000;
/** Between two drawings of the bar on a terminal. */
const DRAW_EVERY_MS = 100;
const BAR_CELLS = 30;

/** Lines, and a progress bar that is replaced in place on a terminal and is a line now and then elsewhere. */
export class LabOutput {
  readonly #sink: LineSink;
  readonly #colours: boolean;
  readonly #clock: () => number;
  #barShown = false;
  #lastProgress = -Infinity;

  /**
   * @param sink where lines go
   * @param colours whether colours are welcome
   * @param clock milliseconds, replaceable for tests
   */
  constructor(sink: LineSink, colours: boolean, clock: () => number = () => performance.now()) {
    this.#sink = sink;
    this.#colours = colours && sink.isTerminal;
    this.#clock = clock;
  }

  /** @returns the text in that colour, where colours are shown */
  paint(paint: Paint, text: string): string {
    return this.#colours ? `\x1b[${CODES[paint]}m${text}\x1b[0m` : text;
  }

  /** Prints a line. */
  line(text: string): void {
    this.#clearBar();
    this.#sink.write(`${text}\n`);
  }

  /**
   * Shows how far something is.
   *
   * @param what what it is
   * @param fraction 0 to 1
   */
  progress(what: string, fraction: number): void {
    const now = this.#clock();
    const every = this.#sink.isTerminal ? DRAW_EVERY_MS : LINE_EVERY_MS;
    if (now - this.#lastProgress < every) return;
    this.#lastProgress = now;
    const percent = `${Math.floor(fraction * 100)} %`.padStart(5);
    if (!this.#sink.isTerminal) this.#sink.write(`${what}: ${percent.trim()}\n`);
    else this.#draw(`${what} ${bar(fraction)}${percent}`);
  }

  #draw(text: string): void {
    this.#sink.write(`\r\x1b[K${text}`);
    this.#barShown = true;
  }

  #clearBar(): void {
    if (this.#barShown) this.#sink.write("\r\x1b[K");
    this.#barShown = false;
    this.#lastProgress = -Infinity;
  }
}

function bar(fraction: number): string {
  const full = Math.floor(fraction * BAR_CELLS);
  return `[${"#".repeat(full)}${"-".repeat(BAR_CELLS - full)}]`;
}
