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
  /** The most faces that are returned, best first; default 1000. */
  limit?: number;
}

/** Pixels of four bytes: red, green, blue, and one that is ignored. */
export interface Pixels {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
}

export type Source = Pixels | ImageData | CanvasImageSource;

export class Detector {
  /**
   * Load the detector.
   * @param options.worker compute in a worker (the default where there are workers) or here.
   * @param options.url where ultraface.wasm is; default: beside this module.
   */
  static load(options?: { worker?: boolean; url?: string | URL }): Promise<Detector>;
  /** Find the faces of a picture, best first. */
  detect(source: Source, options?: Options): Promise<Face[]>;
  /** The same with the milliseconds that resize, network and decoding took. */
  detectTimed(source: Source, options?: Options): Promise<{ faces: Face[]; milliseconds: number }>;
  close(): void;
}

export const model: {
  name: string;
  width: number;
  height: number;
  classes: number;
  precision: string;
  scoreThreshold: number;
};
