/** How far a kernel build is, by what make prints. @module */

/**
 * Steps that make prints for the laboratory's options, counted with Linux 7.3. Another version has
 * some percent more or fewer, and the last step is not counted as the end.
 */
const EXPECTED_STEPS = 2250;
const ALMOST_DONE = 0.99;

/**
 * @param line that make printed
 * @returns whether it tells of a finished step, such as `  CC      mm/slab.o`
 */
export function isBuildStep(line: string): boolean {
  return /^ {2}[A-Z][A-Z0-9_]+ +\S/.test(line);
}

/**
 * @param steps finished so far
 * @returns how far the build is, 0 to 0.99
 */
export function buildFraction(steps: number): number {
  return Math.min(ALMOST_DONE, steps / EXPECTED_STEPS);
}
