/**
 * A PCI function named on the command line.
 *
 * @module
 */
import { isPciAddress, meantPciAddress } from "../host/address.ts";
import { CommandError } from "./errors.ts";
import { ExitStatus } from "./exit_status.ts";

/**
 * Makes the parser of such an argument. There is one way to write an address, the kernel's; who wrote
 * it in another is told the right one.
 *
 * @param purpose what cannot be done without the address
 * @returns a parser, which throws a {@linkcode CommandError} of wrong usage
 *
 * @example
 * ```ts
 * import { deviceArgument } from "./device_argument.ts";
 *
 * const parse = deviceArgument("reset a device");
 * if (parse("10000:01:00.0") !== "10000:01:00.0") throw new Error("an address");
 * ```
 */
export function deviceArgument(purpose: string): (text: string) => string {
  return (text) => {
    if (isPciAddress(text)) return text;
    const meant = meantPciAddress(text);
    const advice = meant === undefined ? "" : `; write ${meant}`;
    throw new CommandError(
      `Cannot ${purpose}: a full PCI address is needed, such as 0000:03:00.0 (received ${text})${advice}`,
      ExitStatus.usage,
    );
  };
}
