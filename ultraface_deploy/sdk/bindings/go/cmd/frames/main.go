// Command frames detects a picture of the conformance set N times: FILE WIDTH HEIGHT N, NV21.
package main

import (
	"log"
	"os"
	"strconv"

	"ultraface"
)

func number(word string) int {
	value, err := strconv.Atoi(word)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func main() {
	pixels, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	detector, err := ultraface.Open("", ultraface.DefaultOptions())
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()
	picture := ultraface.Picture{
		Pixels: pixels, Width: number(os.Args[2]), Height: number(os.Args[3]),
		Format: ultraface.NV21, Rotation: 270,
	}
	for i := number(os.Args[4]); i > 0; i-- {
		if faces, err := detector.Detect(picture); err != nil || len(faces) == 0 {
			log.Fatal("no faces ", err)
		}
	}
}
