/**
 * What a guardian does for its operator.
 *
 * @module
 */
import type { ControlHandler } from "../engine/control.ts";
import type { Guardian } from "../engine/guardian.ts";

/**
 * Makes the handler of a guardian's operator socket.
 *
 * @param guardian that does what is asked
 */
export function operatorHandler(guardian: Guardian): ControlHandler {
  return async (request, operator) => {
    const who = `process ${operator.pid} of account ${operator.uid}`;
    switch (request.type) {
      case "reset": {
        const { device, method, domain } = request;
        const done = await guardian.reset(device, method, who, domain);
        return done === undefined ? { type: "absent" } : { type: "done", ...done };
      }
      case "reach": {
        const reach = await guardian.reach(request.device, request.method);
        return reach === undefined ? { type: "absent" } : { type: "reach", ...reach };
      }
      case "hit-by":
        return { type: "hits", hits: guardian.hitBy(request.functions) };
      case "make-way":
        return { type: "done", ...await guardian.makeWay(request.functions, who) };
    }
  };
}
