package ultraface.sample;

import android.content.pm.PackageManager;
import android.os.Bundle;
import android.widget.FrameLayout;
import androidx.activity.ComponentActivity;
import androidx.activity.result.contract.ActivityResultContracts;
import androidx.camera.core.CameraSelector;
import androidx.camera.core.ImageAnalysis;
import androidx.camera.core.Preview;
import androidx.camera.lifecycle.ProcessCameraProvider;
import androidx.camera.view.PreviewView;
import androidx.core.content.ContextCompat;
import com.google.common.util.concurrent.ListenableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** The front camera with boxes around faces. */
public final class MainActivity extends ComponentActivity {
    private static final String CAMERA = "android.permission.CAMERA";

    private final ExecutorService frames = Executors.newSingleThreadExecutor();
    private FaceView boxes;
    private PreviewView preview;
    private FaceAnalyzer analyzer;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        preview = new PreviewView(this);
        boxes = new FaceView(this);
        FrameLayout both = new FrameLayout(this);
        both.addView(preview);
        both.addView(boxes);
        setContentView(both);
        analyzer = new FaceAnalyzer(true, boxes::show);
        if (ContextCompat.checkSelfPermission(this, CAMERA) == PackageManager.PERMISSION_GRANTED) {
            start();
        } else {
            registerForActivityResult(
                            new ActivityResultContracts.RequestPermission(),
                            granted -> {
                                if (granted) {
                                    start();
                                }
                            })
                    .launch(CAMERA);
        }
    }

    @Override
    protected void onDestroy() {
        super.onDestroy();
        // After the frame that is being looked at.
        frames.execute(analyzer::close);
        frames.shutdown();
    }

    private void start() {
        ListenableFuture<ProcessCameraProvider> provider = ProcessCameraProvider.getInstance(this);
        provider.addListener(
                () -> {
                    try {
                        bind(provider.get());
                    } catch (ExecutionException | InterruptedException error) {
                        throw new IllegalStateException("no camera", error);
                    }
                },
                ContextCompat.getMainExecutor(this));
    }

    private void bind(ProcessCameraProvider provider) {
        Preview shown = new Preview.Builder().build();
        shown.setSurfaceProvider(preview.getSurfaceProvider());
        ImageAnalysis analysis =
                new ImageAnalysis.Builder()
                        .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                        .build();
        analysis.setAnalyzer(frames, analyzer);
        provider.unbindAll();
        provider.bindToLifecycle(this, CameraSelector.DEFAULT_FRONT_CAMERA, shown, analysis);
    }
}
