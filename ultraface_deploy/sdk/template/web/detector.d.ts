/** A face: its box in pixels of the picture, x1 y1 x2 y2, its score from 0 to 1, its class. */
export interface Face {
  box: [x1: number, y1: number, x2: number, y2: number];
  score: number;
  label: number;
}

export interface Options {
  /** Faces score above it; default: the model's own. */
  threshold?: number;
  /** Intersection over union above which two boxes are one face; default 0.3. */
  overlap?: number;
  /** The best boxes of a class that enter suppression, 1 to 200; default 200. */
  candidates?: number;
  /** Look at this part of the picture alone, in its pixels; boxes stay those of the picture. */
  region?: [x: number, y: number, width: number, height: number];
  /** The most faces that are returned, best first; default 1000. */
  limit?: number;
  /**
   * Fit the picture into the network's input and pad the rest, for very wide or tall pictures;
   * default false: it is stretched.
   */
  keepAspect?: boolean;
}

/** Pixels of four bytes: red, green, blue, and one that is ignored. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

export type Source = Pixels | ImageData | CanvasImageSource;

export interface LoadOptions {
  /** Compute in a worker (the default where there are workers) or here. */
  worker?: boolean;
  /**
   * The most threads that look at a picture together. Default: the cores of the device, at most 4,
   * where the page is cross-origin isolated, else 1; in Node.js 1. Where threads cannot share
   * memory, and on a page's own thread, there is one: see `Detector.threads`.
   */
  threads?: number;
  /** Where ultraface.wasm is; default: beside this module. */
  url?: string | URL;
  /** Where ultraface-threads.wasm is; default: beside this module. */
  threadsUrl?: string | URL;
}

export class Detector {
  private constructor();
  /** Load the detector. */
  static load(options?: LoadOptions): Promise<Detector>;
  /** How many threads look at a picture together. */
  readonly threads: number;
  /** Find the faces of a picture, best first. */
  detect(source: Source, options?: Options): Promise<Face[]>;
  /** The same with the milliseconds that resize, network and decoding took. */
  detectTimed(source: Source, options?: Options): Promise<{ faces: Face[]; milliseconds: number }>;
  close(): void;
}

/** What the class of a label is called; null where the network does not say. */
export function className(label: number): string | null;

export const model: {
  name: string;
  width: number;
  height: number;
  classes: number;
  /** Those of the labels 1, 2, ...; none where the network does not say. */
  classNames: readonly string[];
  precision: string;
  scoreThreshold: number;
};
