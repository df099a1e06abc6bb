// Command faces prints the faces of a JPEG or PNG picture.
package main

import (
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"log"
	"os"

	"ultraface"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: faces PICTURE")
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	picture, _, err := image.Decode(file)
	if err != nil {
		log.Fatalf("%s: %v", os.Args[1], err)
	}
	detector, err := ultraface.Open("", ultraface.DefaultOptions())
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()
	faces, err := detector.Detect(ultraface.FromImage(picture))
	if err != nil {
		log.Fatal(err)
	}
	for _, face := range faces {
		fmt.Printf("%.1f %.1f %.1f %.1f %.4f %s\n", face.X1, face.Y1, face.X2, face.Y2, face.Score,
			ultraface.ClassName(face.Label))
	}
}
