module ultraface

go 1.19
