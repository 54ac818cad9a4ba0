// A photo made small on the device before it is sent. Its metadata (place, time, device) stays behind.
import { maxUploadBytes, Problem } from "./api.js";

const MOST_BYTES = 480_000;
const EDGES = [1600, 1280, 1024, 768];
const QUALITIES = [0.9, 0.82, 0.72, 0.6];

/**
 * What is sent for a file: {blob, width, height, seen}. seen: whether the browser can show it; a HEIC photo that it
 * cannot decode goes as it is.
 * Throws Problem `not_an_image`, `photo_empty` or `photo_too_large`.
 */
export async function prepare(file) {
  if (file.size === 0) throw new Problem("photo_empty");
  const address = URL.createObjectURL(file);
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    return await shrink(image);
  } catch (error) {
    if (error instanceof Problem) throw error;
    if (!(await isHeic(file))) throw new Problem("not_an_image");
    if (file.size > maxUploadBytes - 4096) throw new Problem("photo_too_large");
    return { blob: file, width: 0, height: 0, seen: false };
  } finally {
    URL.revokeObjectURL(address);
  }
}

async function shrink(image) {
  const longest = Math.max(image.naturalWidth, image.naturalHeight);
  if (longest === 0) throw new Problem("not_an_image");
  let blob = null;
  let canvas = null;
  for (const edge of EDGES) {
    canvas = drawn(image, Math.min(1, edge / longest));
    for (const quality of QUALITIES) {
      blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", quality));
      if (blob === null) throw new Problem("not_an_image");
      if (blob.size <= MOST_BYTES) return { blob, width: canvas.width, height: canvas.height, seen: true };
    }
  }
  return { blob, width: canvas.width, height: canvas.height, seen: true };
}

function drawn(image, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(image.naturalWidth * scale));
  canvas.height = Math.max(1, Math.round(image.naturalHeight * scale));
  const context = canvas.getContext("2d", { alpha: false });
  context.fillStyle = "#fff"; // behind what is transparent
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** By its content: an ISO base media file of one of the still-image brands of HEIF. */
async function isHeic(file) {
  const head = new Uint8Array(await file.slice(0, 64).arrayBuffer());
  const text = String.fromCharCode(...head);
  return text.slice(4, 8) === "ftyp" && /hei[cxms]|hev[cxms]|mif1|msf1/.test(text.slice(8));
}

/** A small picture of the photo for the list of recent searches, as a data: address; null where it cannot be seen. */
export async function thumbnail(photo, edge = 144) {
  if (!photo.seen) return null;
  const address = URL.createObjectURL(photo.blob);
  const image = new Image();
  image.src = address;
  try {
    await image.decode();
    return drawn(image, Math.min(1, edge / Math.max(photo.width, photo.height))).toDataURL("image/jpeg", 0.7);
  } finally {
    URL.revokeObjectURL(address);
  }
}

export const toDataAddress = (blob) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.addEventListener("load", () => resolve(reader.result));
    reader.addEventListener("error", () => reject(reader.error));
    reader.readAsDataURL(blob);
  });

export function fromDataAddress(address) {
  const [head, body] = address.split(",");
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  return new Blob([bytes], { type: head.slice(5).split(";")[0] });
}
