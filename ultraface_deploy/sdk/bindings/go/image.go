package ultraface

import (
	"image"
	"image/draw"
)

// FromImage returns a picture of an image: RGBA, NRGBA and gray as they are, others drawn into RGBA.
func FromImage(source image.Image) Picture {
	bounds := source.Bounds()
	made := Picture{Width: bounds.Dx(), Height: bounds.Dy(), Format: RGBA}
	switch pixels := source.(type) {
	case *image.Gray:
		made.Pixels, made.Stride, made.Format = pixels.Pix, pixels.Stride, Gray
	case *image.RGBA:
		made.Pixels, made.Stride = pixels.Pix, pixels.Stride
	case *image.NRGBA:
		made.Pixels, made.Stride = pixels.Pix, pixels.Stride
	default:
		drawn := image.NewRGBA(image.Rect(0, 0, made.Width, made.Height))
		draw.Draw(drawn, drawn.Bounds(), source, bounds.Min, draw.Src)
		made.Pixels, made.Stride = drawn.Pix, drawn.Stride
	}
	return made
}
