/** A face: its box in pixels of the upright picture, x1 y1 x2 y2, its score from 0 to 1, its class. */
export interface Face {
  box: [x1: number, y1: number, x2: number, y2: number];
  score: number;
  label: number;
}

/** What is left out keeps the library's default. */
export interface Options {
  /** Faces score above it; default: the model's own. */
  threshold?: number;
  /** Intersection over union above which two boxes are one face; default 0.3. */
  overlap?: number;
  nms?: "hard" | "soft" | "blend";
  /** The best boxes of a class that enter NMS. */
  candidates?: number;
  /** The most faces that are returned, best first; 0 for all. */
  limit?: number;
  /** Threads of one inference. */
  threads?: number;
  /** Fit the picture into the network's input and pad it. */
  keepAspect?: boolean;
  /** Folder of the model files; default: the model inside the library. */
  modelFolder?: string;
}

export type Format = "bgr" | "rgb" | "gray" | "nv21" | "rgba" | "bgra" | "nv12" | "i420";

/** Pixels, and how they are to be looked at. They must not change before the answer is there. */
export interface Picture {
  data: NodeJS.ArrayBufferView;
  width: number;
  height: number;
  /** Default: rgba, as browsers have it. */
  format?: Format;
  /** Bytes from row to row; default: rows without gaps. */
  stride?: number;
  /** Degrees clockwise that turn the picture upright. */
  rotation?: 0 | 90 | 180 | 270;
  /** Whether it is then mirrored from left to right. */
  mirrored?: boolean;
  /** The part of the upright picture to look at. */
  region?: [x: number, y: number, width: number, height: number];
}

/** The library refused an argument or failed. */
export class UltraFaceError extends Error {
  /** One of ultraface_status in ultraface.h. */
  readonly status: number;
}

/** What the class of a label is called; null where the network does not say. */
export function className(label: number): string | null;

export class Detector {
  /** Load the model and prove that it runs. */
  constructor(options?: Options);
  static load(options?: Options): Promise<Detector>;
  /** Find the faces of a picture, best first, without blocking the event loop. */
  detect(picture: Picture): Promise<Face[]>;
  /** The same at once. */
  detectSync(picture: Picture): Face[];
  close(): void;
}
