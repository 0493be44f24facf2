// The list of alarms: fetched again when one began, ended or was acknowledged.

import { openStream } from "./freshness.js";

const fetchAgain = () => window.htmx?.trigger("#alarms", "refresh");

// What changed while the stream was away is seen when it is back.
openStream("/live/alarms", { hello: fetchAgain, alarms: fetchAgain });
