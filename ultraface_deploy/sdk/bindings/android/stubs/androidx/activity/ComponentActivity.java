package androidx.activity;

import androidx.activity.result.ActivityResultCallback;
import androidx.activity.result.ActivityResultLauncher;
import androidx.activity.result.contract.ActivityResultContract;

public class ComponentActivity extends android.content.Context
        implements androidx.lifecycle.LifecycleOwner {
    protected void onCreate(android.os.Bundle saved) {}

    protected void onDestroy() {}

    public void setContentView(android.view.View view) {}

    public final <I, O> ActivityResultLauncher<I> registerForActivityResult(
            ActivityResultContract<I, O> contract, ActivityResultCallback<O> callback) {
        return null;
    }
}
