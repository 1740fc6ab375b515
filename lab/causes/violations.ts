/** What was seen that must not be. @module */

/** Collects violations; the round goes on, for what follows from one may say more. */
export class Violations {
  readonly found: string[] = [];

  /** @param what is wrong */
  add(what: string): void {
    this.found.push(what);
  }

  /** @param holds what must be, @param what is wrong if it is not */
  unless(holds: boolean, what: () => string): void {
    if (!holds) this.add(what());
  }
}
