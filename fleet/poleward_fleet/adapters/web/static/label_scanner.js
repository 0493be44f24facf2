// Reads the label of a node: with the camera, or from what somebody typed.

// Label: PW1:<address>:<claim code> (docs/flashing.md).
const LABEL = /^PW1:([0-9A-F]{12}):([0-9A-Z]{16})$/;

export function labelOf(content) {
  const match = LABEL.exec(content.trim());
  return match && { mac: match[1].toLowerCase(), code: match[2] };
}

export const macOf = (typed) => typed.replace(/[:\-\s]/g, "").toLowerCase();
export const codeOf = (typed) => typed.replace(/[-\s]/g, "").toUpperCase();

// The browser's own detector where there is one, else jsQR on a still of the video.
async function makeReader() {
  if ("BarcodeDetector" in window && (await BarcodeDetector.getSupportedFormats()).includes("qr_code")) {
    const detector = new BarcodeDetector({ formats: ["qr_code"] });
    return async (video) => (await detector.detect(video)).map((code) => code.rawValue);
  }
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return async (video) => {
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    context.drawImage(video, 0, 0);
    const found = jsQR(context.getImageData(0, 0, canvas.width, canvas.height).data, canvas.width, canvas.height);
    return found ? [found.data] : [];
  };
}

// Calls found(content) for each code seen, until it returns true or stop() is called.
export async function scan(video, found) {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  video.srcObject = stream;
  video.hidden = false;
  await video.play();
  const read = await makeReader();
  let running = true;
  const stop = () => {
    running = false;
    video.hidden = true;
    for (const track of stream.getTracks()) track.stop();
  };
  const look = async () => {
    if (!running) return;
    const codes = video.videoWidth ? await read(video).catch(() => []) : [];
    if (running && codes.some(found)) stop();
    else setTimeout(look, 150);
  };
  look();
  return stop;
}
