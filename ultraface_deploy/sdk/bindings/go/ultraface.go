// Package ultraface finds faces through libultraface: pixels in, faces out.
package ultraface

/*
#cgo CFLAGS: -I${SRCDIR}/../../include
#cgo LDFLAGS: -L${SRCDIR}/../../build/shared -lultraface -Wl,-rpath,${SRCDIR}/../../build/shared
#include <stdlib.h>
#include <string.h>
#include "ultraface.h"

enum { MESSAGE = 512, CAPACITY = 256 };

// The text of an error belongs to the thread of the call, which Go may leave right after.
static ultraface_status said(ultraface_status status, char* message) {
	if (status != ULTRAFACE_OK) strncpy(message, ultraface_last_error(), MESSAGE - 1);
	return status;
}

static ultraface_status create(const char* folder, const ultraface_options* options,
                               ultraface_detector** detector, char* message) {
	return said(ultraface_create(folder, options, detector), message);
}

// Pixels come as an argument: Go's memory may not be pointed at from C's structs.
static ultraface_status detect(ultraface_detector* detector, ultraface_image image,
                               const void* pixels, ultraface_face* faces, int32_t* count,
                               char* message) {
	image.size = sizeof(image);
	image.pixels = pixels;
	return said(ultraface_detect(detector, &image, faces, CAPACITY, count), message);
}
*/
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"
)

// Format says how pixels lie in memory; see ultraface_format in ultraface.h.
type Format int32

// The formats.
const (
	BGR Format = iota
	RGB
	Gray
	NV21
	RGBA
	BGRA
	NV12
	I420
)

// NMS says what becomes of boxes that overlap a better one.
type NMS int32

// The kinds of NMS.
const (
	Hard NMS = iota
	Soft
	Blend
)

// InvalidArgument is the status of a nil, a size, a stride or an option that cannot be.
const InvalidArgument = C.ULTRAFACE_INVALID_ARGUMENT

// ErrClosed is what a closed detector answers.
var ErrClosed = errors.New("ultraface: the detector is closed")

// Error is what the library refused or failed at.
type Error struct {
	Status  int // one of ultraface_status in ultraface.h
	Message string
}

func (e *Error) Error() string { return "ultraface: " + e.Message }

// Face has corners in pixels of the upright picture, a score in 0..1 and a class from 1.
type Face struct {
	X1, Y1, X2, Y2 float32
	Score          float32
	Label          int32
}

// Options say how a detector works; DefaultOptions returns the library's.
type Options struct {
	ScoreThreshold float32 // faces score above it, 0..1
	IoUThreshold   float32 // overlap above which two boxes are one face, 0..1
	NMS            NMS
	Candidates     int32 // the best boxes of a class that enter NMS
	TopK           int32 // faces kept after it, 0 for all
	Threads        int32 // of one inference
	KeepAspect     bool  // fit the picture into the network's input and pad it
}

// Picture is pixels, and how they are to be looked at. Zero is the default of all but the first
// four.
type Picture struct {
	Pixels        []byte
	Width, Height int
	Format        Format
	Stride        int    // bytes from row to row; 0 for rows without gaps
	Rotation      int    // degrees clockwise that turn it upright: 0, 90, 180 or 270
	Mirrored      bool   // whether it is then mirrored from left to right
	Region        [4]int // x, y, width, height of the part of the upright picture to look at
}

// Detector is a loaded model. Goroutines may share one, but then wait for each other.
type Detector struct {
	use    sync.RWMutex // many may detect, but nobody while it is closed
	handle *C.ultraface_detector
}

// DefaultOptions returns the defaults, which are those of the Python pipeline.
func DefaultOptions() Options {
	var o C.ultraface_options
	C.ultraface_default_options(&o, C.uint32_t(unsafe.Sizeof(o)))
	return Options{
		float32(o.score_threshold), float32(o.iou_threshold), NMS(o.nms), int32(o.candidates),
		int32(o.top_k), int32(o.threads), o.keep_aspect != 0,
	}
}

// Open loads the model of a folder, or for "" the one inside the library, and proves that it runs.
func Open(modelFolder string, options Options) (*Detector, error) {
	if version := C.ultraface_version(); version != C.ULTRAFACE_API_VERSION {
		return nil, fmt.Errorf("ultraface: the library has version %d of the interface", version)
	}
	var folder *C.char
	if modelFolder != "" {
		folder = C.CString(modelFolder)
		defer C.free(unsafe.Pointer(folder))
	}
	o := C.ultraface_options{
		score_threshold: C.float(options.ScoreThreshold),
		iou_threshold:   C.float(options.IoUThreshold),
		nms:             C.ultraface_nms(options.NMS),
		candidates:      C.int32_t(options.Candidates),
		top_k:           C.int32_t(options.TopK),
		threads:         C.int32_t(options.Threads),
		keep_aspect:     number(options.KeepAspect),
	}
	o.size = C.uint32_t(unsafe.Sizeof(o))
	var message [C.MESSAGE]C.char
	d := new(Detector)
	if status := C.create(folder, &o, &d.handle, &message[0]); status != C.ULTRAFACE_OK {
		return nil, &Error{int(status), C.GoString(&message[0])}
	}
	return d, nil
}

// Detect finds the faces of one picture, best first.
func (d *Detector) Detect(p Picture) ([]Face, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.handle == nil {
		return nil, ErrClosed
	}
	image := C.ultraface_image{
		format:        C.ultraface_format(p.Format),
		width:         C.int32_t(p.Width),
		height:        C.int32_t(p.Height),
		stride:        C.int32_t(p.Stride),
		rotation:      C.int32_t(p.Rotation),
		mirrored:      number(p.Mirrored),
		region_x:      C.int32_t(p.Region[0]),
		region_y:      C.int32_t(p.Region[1]),
		region_width:  C.int32_t(p.Region[2]),
		region_height: C.int32_t(p.Region[3]),
		bytes:         C.size_t(len(p.Pixels)),
	}
	var pixels unsafe.Pointer
	if len(p.Pixels) > 0 {
		pixels = unsafe.Pointer(&p.Pixels[0])
	}
	var found [C.CAPACITY]C.ultraface_face
	var message [C.MESSAGE]C.char
	var count C.int32_t
	status := C.detect(d.handle, image, pixels, &found[0], &count, &message[0])
	if status != C.ULTRAFACE_OK {
		return nil, &Error{int(status), C.GoString(&message[0])}
	}
	if count > C.CAPACITY {
		count = C.CAPACITY
	}
	faces := make([]Face, count)
	for i, f := range found[:count] {
		faces[i] = Face{
			float32(f.x1), float32(f.y1), float32(f.x2), float32(f.y2),
			float32(f.score), int32(f.label),
		}
	}
	return faces, nil
}

// ClassName returns what the class of a label is called, "" where the network does not say.
func ClassName(label int32) string {
	return C.GoString(C.ultraface_class_name(C.int32_t(label)))
}

// Close frees the model, once no other goroutine is using it.
func (d *Detector) Close() {
	d.use.Lock()
	defer d.use.Unlock()
	C.ultraface_destroy(d.handle)
	d.handle = nil
}

func number(flag bool) C.int32_t {
	if flag {
		return 1
	}
	return 0
}
