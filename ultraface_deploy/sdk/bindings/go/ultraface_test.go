package ultraface

import (
	"bufio"
	"errors"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const conformance = "../../conformance"

type expected struct {
	name       string
	picture    Picture
	keepAspect bool
	faces      []Face
}

var formats = map[string]Format{
	"bgr": BGR, "rgb": RGB, "gray": Gray, "nv21": NV21,
	"rgba": RGBA, "bgra": BGRA, "nv12": NV12, "i420": I420,
}

func read(t *testing.T) []expected {
	t.Helper()
	file, err := os.Open(filepath.Join(conformance, "cases.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var cases []expected
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Split(lines.Text(), " ")
		var numbers []float32
		for _, word := range words[1:] {
			number, _ := strconv.ParseFloat(word, 32)
			numbers = append(numbers, float32(number))
		}
		switch words[0] {
		case "case":
			pixels, err := os.ReadFile(filepath.Join(conformance, words[2]))
			if err != nil {
				t.Fatal(err)
			}
			n := make([]int, len(words))
			for i := 4; i < len(words); i++ {
				n[i], _ = strconv.Atoi(words[i])
			}
			picture := Picture{
				pixels, n[4], n[5], formats[words[3]], n[6], n[7], n[8] == 1,
				[4]int{n[10], n[11], n[12], n[13]},
			}
			cases = append(cases, expected{words[1], picture, n[9] == 1, nil})
		case "face":
			last := &cases[len(cases)-1]
			n := numbers
			last.faces = append(last.faces, Face{n[0], n[1], n[2], n[3], n[4], int32(n[5])})
		}
	}
	if len(cases) != 12 {
		t.Fatalf("%d cases", len(cases))
	}
	return cases
}

func TestClassNames(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(conformance, "cases.txt"))
	if err != nil {
		t.Fatal(err)
	}
	label := int32(0)
	for _, line := range strings.Split(string(content), "\n") {
		words := strings.SplitN(line, " ", 3)
		if words[0] != "name" {
			continue
		}
		label++
		if words[1] != strconv.Itoa(int(label)) || ClassName(label) != words[2] {
			t.Errorf("%d is called %q: %s", label, ClassName(label), line)
		}
	}
	for _, nameless := range []int32{-1, 0, label + 1} {
		if name := ClassName(nameless); name != "" {
			t.Errorf("%d is called %q", nameless, name)
		}
	}
}

func open(t *testing.T, keepAspect bool) *Detector {
	t.Helper()
	options := DefaultOptions()
	options.KeepAspect = keepAspect
	detector, err := Open("", options)
	if err != nil {
		t.Fatal(err)
	}
	return detector
}

func far(a, b, tolerance float32) bool { return a-b > tolerance || b-a > tolerance }

func (e expected) check(t *testing.T, faces []Face, err error) {
	t.Helper()
	if err != nil || len(faces) != len(e.faces) {
		t.Errorf("%s: %d faces, %v", e.name, len(faces), err)
		return
	}
	for i, f := range faces {
		w := e.faces[i]
		if far(f.X1, w.X1, 1) || far(f.Y1, w.Y1, 1) || far(f.X2, w.X2, 1) || far(f.Y2, w.Y2, 1) ||
			far(f.Score, w.Score, 1e-3) || f.Label != w.Label {
			t.Errorf("%s: %v instead of %v", e.name, f, w)
		}
	}
}

func TestSameFaces(t *testing.T) {
	for _, each := range read(t) {
		detector := open(t, each.keepAspect)
		faces, err := detector.Detect(each.picture)
		each.check(t, faces, err)
		detector.Close()
	}
}

func TestImages(t *testing.T) {
	gray := read(t)[4]
	p := gray.picture
	one := image.NewGray(image.Rect(0, 0, p.Width, p.Height))
	copy(one.Pix, p.Pixels)
	nrgba := image.NewNRGBA(one.Rect)
	paletted := image.NewPaletted(one.Rect, nil)
	for i := 0; i < 256; i++ {
		paletted.Palette = append(paletted.Palette, color.Gray{uint8(i)})
	}
	copy(paletted.Pix, p.Pixels)
	for y := 0; y < p.Height; y++ {
		for x := 0; x < p.Width; x++ {
			nrgba.Set(x, y, one.At(x, y))
		}
	}
	detector := open(t, false)
	defer detector.Close()
	for _, source := range []image.Image{one, nrgba, paletted} {
		picture := FromImage(source)
		picture.Mirrored = true
		faces, err := detector.Detect(picture)
		gray.check(t, faces, err)
	}
	// For the example program, which test.sh runs on it.
	file, err := os.Create(filepath.Join("build", "gray.png"))
	if err == nil {
		err = png.Encode(file, one)
	}
	if err != nil {
		t.Error(err)
	}
	part := one.SubImage(image.Rect(10, 10, 90, 100))
	if _, err := detector.Detect(FromImage(part)); err != nil {
		t.Error(err)
	}
}

func residentKilobytes(t *testing.T) int {
	t.Helper()
	runtime.GC()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(string(status)[strings.Index(string(status), "VmRSS:"):])
	kilobytes, _ := strconv.Atoi(words[1])
	return kilobytes
}

func TestKeepsNoMemory(t *testing.T) {
	picture := read(t)[5].picture
	detector := open(t, false)
	defer detector.Close()
	before := 0
	for i := 0; i < 1300; i++ {
		if i == 300 {
			before = residentKilobytes(t)
		}
		if _, err := detector.Detect(picture); err != nil {
			t.Fatal(err)
		}
	}
	if grown := residentKilobytes(t) - before; grown > 4096 {
		t.Errorf("grew by %d kB", grown)
	}
}

func TestEightThreads(t *testing.T) {
	each := read(t)[5]
	shared := open(t, false)
	defer shared.Close()
	var all sync.WaitGroup
	for i := 0; i < 8; i++ {
		own := open(t, false)
		all.Add(1)
		go func() {
			defer all.Done()
			defer own.Close()
			runtime.LockOSThread()
			for round := 0; round < 10; round++ {
				faces, err := shared.Detect(each.picture)
				each.check(t, faces, err)
				faces, err = own.Detect(each.picture)
				each.check(t, faces, err)
			}
		}()
	}
	all.Wait()
}

func TestRefusals(t *testing.T) {
	pixels := make([]byte, 3*64*48)
	detector := open(t, false)
	wrong := map[string]Picture{
		"nil":      {Width: 64, Height: 48},
		"width":    {Pixels: pixels, Height: 48},
		"height":   {Pixels: pixels, Width: 64},
		"stride":   {Pixels: pixels, Width: 64, Height: 48, Stride: 191},
		"cut":      {Pixels: pixels[1:], Width: 64, Height: 48},
		"rotation": {Pixels: pixels, Width: 64, Height: 48, Rotation: 45},
		"format":   {Pixels: pixels, Width: 64, Height: 48, Format: 8},
		"region":   {Pixels: pixels, Width: 64, Height: 48, Region: [4]int{60, 0, 5, 48}},
	}
	refused := func(name string, err error) {
		var known *Error
		if !errors.As(err, &known) || known.Status != InvalidArgument || known.Message == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, picture := range wrong {
		_, err := detector.Detect(picture)
		refused(name, err)
	}
	_, err := Open("", Options{ScoreThreshold: 2})
	refused("options", err)
	detector.Close()
	detector.Close()
	if _, err := detector.Detect(Picture{Pixels: pixels, Width: 64, Height: 48}); err != ErrClosed {
		t.Errorf("closed: %v", err)
	}
}
