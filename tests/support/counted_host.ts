/**
 * Hosts that count how often their functions are looked at, so that growth shows without a clock.
 *
 * @module
 */
import type { HostSnapshot } from "../../host/snapshot.ts";

/** How often something of a function, or a place in the list of them, was asked for. */
export interface Count {
  looks: number;
}

/**
 * Makes a host that counts.
 *
 * @param host that it is like
 * @param count is raised by each look
 */
export function counted(host: HostSnapshot, count: Count): HostSnapshot {
  const counting = <T extends object>(target: T): T =>
    new Proxy(target, {
      get: (of, key) => {
        count.looks++;
        return Reflect.get(of, key);
      },
    });
  return { ...host, functions: counting(host.functions.map(counting)) };
}
